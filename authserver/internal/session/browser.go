package session

import "strings"

// named are looked for in order: every browser claims to be an older one too.
var (
	browsers = [][2]string{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}}
	systems  = [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"}}
)

// describe puts a User-Agent into a few words of ours, so that a person knows
// their browsers apart. Nothing of the header itself is kept or shown.
func describe(userAgent string) string {
	find := func(among [][2]string, otherwise string) string {
		for _, one := range among {
			if strings.Contains(userAgent, one[0]) {
				return one[1]
			}
		}
		return otherwise
	}
	browser, system := find(browsers, "A browser"), find(systems, "")
	if system == "" {
		return browser
	}
	return browser + " on " + system
}
