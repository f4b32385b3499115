package fakegoogle

import (
	"strconv"
	"strings"
	"time"
)

const driveTime = "2006-01-02T15:04:05.000Z"

// version is a revision of a file that Drive keeps; the last is what the file is.
type version struct {
	id   string
	at   time.Time
	size int
}

// seedHistory gives the person's plan a past: revisions, and reviews of it.
func (u *User) seedHistory(now time.Time, other *User) {
	for _, f := range u.files {
		if f.Name != "plan.txt" {
			continue
		}
		for i := range 5 {
			f.versions = append(f.versions, version{u.next("v"), f.Modified.Add(time.Duration(i-4) * 24 * time.Hour), len(f.content) + i - 4})
		}
		user := func(u *User) map[string]any { return map[string]any{"displayName": u.Name, "emailAddress": u.Email} }
		for i, status := range []string{"IN_PROGRESS", "DECLINED", "APPROVED"} {
			response := status
			if i == 0 {
				response = "NO_RESPONSE"
			}
			a := map[string]any{
				"kind": "drive#approval", "approvalId": u.next("a"), "targetFileId": f.ID, "status": status, "initiator": user(u),
				"createTime": now.Add(time.Duration(-24*(i+1)) * time.Hour).Format(driveTime), "modifyTime": now.Add(time.Duration(-20*(i+1)) * time.Hour).Format(driveTime),
				"reviewerResponses": []any{map[string]any{"kind": "drive#reviewerResponse", "reviewer": user(other), "response": response}},
			}
			if i > 0 {
				a["completeTime"] = a["modifyTime"]
			} else {
				a["dueTime"] = now.Add(48 * time.Hour).Format(driveTime)
			}
			f.approvals = append(f.approvals, a)
		}
	}
}

// history are the file's revisions, the oldest first.
func (f *file) history() []version {
	if len(f.versions) == 0 {
		return []version{{"1", f.Modified, len(f.content)}}
	}
	return f.versions
}

func init() {
	handle("drive.revisions.list", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		page, next, err := paginate(c, f.history(), c.size("pageSize", 200, 1000))
		list := []any{}
		for _, v := range page {
			r := map[string]any{
				"kind": "drive#revision", "id": v.id, "mimeType": f.MimeType, "modifiedTime": v.at.UTC().Format(driveTime),
				"lastModifyingUser": map[string]any{"displayName": c.user.Name, "emailAddress": c.user.Email, "me": true},
			}
			if strings.HasPrefix(f.MimeType, "application/vnd.google-apps") {
				r["published"] = false
			} else {
				r["originalFilename"], r["size"], r["keepForever"] = f.Name, strconv.Itoa(v.size), false
			}
			list = append(list, r)
		}
		return withNext(map[string]any{"kind": "drive#revisionList", "revisions": list}, next), err
	})
	handle("drive.approvals.list", func(c *call) (any, error) {
		f, err := c.file(c.path["fileId"])
		if err != nil {
			return nil, err
		}
		page, next, err := paginate(c, f.approvals, c.size("pageSize", 100, 100))
		out := withNext(map[string]any{"kind": "drive#approvalList", "items": append([]map[string]any{}, page...)}, next)
		if c.query.Get("fields") == "" { // "may not include the items array" (Drive API)
			delete(out, "items")
		}
		return out, err
	})
}
