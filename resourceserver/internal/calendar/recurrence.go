package calendar

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"latchkey/resourceserver/internal/tool"
)

// Bounds of the numbers in a rule (RFC 5545 §3.3.10).
var ruleNumbers = map[string]struct {
	most     int
	negative bool // counted from the end
}{
	"BYMONTHDAY": {31, true}, "BYYEARDAY": {366, true}, "BYWEEKNO": {53, true}, "BYMONTH": {12, false}, "BYSETPOS": {366, true},
}

var (
	weekday   = regexp.MustCompile(`^([+-]?[1-9][0-9]?)?(MO|TU|WE|TH|FR|SA|SU)$`)
	untilDate = regexp.MustCompile(`^[0-9]{8}$`)
	untilTime = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)
)

// parseRule reads one recurrence rule (RFC 5545 §3.3.10) and returns it as
// Google takes it. Rules that Calendar does not have are refused here, with the
// reason, and so is what could not be told to the person in one line.
func parseRule(s string, allDay bool) (string, error) {
	rule := strings.ToUpper(strings.TrimSpace(s))
	rule = strings.TrimPrefix(rule, "RRULE:")
	given := map[string]string{}
	for part := range strings.SplitSeq(rule, ";") {
		name, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return "", tool.Invalid("recurrence must be a rule such as FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10.")
		}
		if _, twice := given[name]; twice {
			return "", tool.Invalid("recurrence has one of its parts twice.")
		}
		given[name] = value
		if err := checkPart(name, value, allDay); err != nil {
			return "", err
		}
	}
	freq := given["FREQ"]
	if freq == "" {
		return "", tool.Invalid("recurrence needs FREQ: DAILY, WEEKLY, MONTHLY or YEARLY.")
	}
	_, counted := given["COUNT"]
	_, ended := given["UNTIL"]
	if counted && ended {
		return "", tool.Invalid("recurrence takes COUNT or UNTIL, not both.")
	}
	if freq != "MONTHLY" && freq != "YEARLY" && strings.ContainsAny(given["BYDAY"], "0123456789") {
		return "", tool.Invalid("In recurrence, only MONTHLY and YEARLY count weekdays, as in BYDAY=2TU.")
	}
	return "RRULE:" + rule, nil
}

func checkPart(name, value string, allDay bool) error {
	ok := false
	switch name {
	case "FREQ":
		ok = slices.Contains([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}, value)
	case "COUNT", "INTERVAL":
		n, err := strconv.Atoi(value)
		ok = err == nil && n >= 1 && n <= 1000
	case "UNTIL":
		// RFC 5545 §3.3.10: a date if the event has dates, else a time in UTC.
		if ok = untilTime.MatchString(value); allDay {
			ok = untilDate.MatchString(value)
		}
		if !ok {
			return tool.Invalid("In recurrence, UNTIL must be like %s here.", map[bool]string{true: "20270131", false: "20270131T230000Z (UTC)"}[allDay])
		}
	case "WKST":
		ok = len(value) == 2 && weekday.MatchString(value)
	case "BYDAY":
		ok = all(value, weekday.MatchString)
	default:
		bound, known := ruleNumbers[name]
		ok = known && all(value, func(s string) bool {
			n, err := strconv.Atoi(s)
			if err != nil || n == 0 || n < 0 && !bound.negative {
				return false
			}
			return max(n, -n) <= bound.most
		})
	}
	if !ok {
		return tool.Invalid("In recurrence, %s is not one that Calendar knows, or its value does not fit.", quotedPart(name))
	}
	return nil
}

// quotedPart names a part of a rule; what is no such name is not repeated.
func quotedPart(name string) string {
	if len(name) <= 12 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return name
	}
	return "a part"
}

func all(list string, ok func(string) bool) bool {
	for v := range strings.SplitSeq(list, ",") {
		if !ok(v) {
			return false
		}
	}
	return true
}
