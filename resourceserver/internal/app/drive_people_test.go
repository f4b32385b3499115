package app_test

import (
	"strings"
	"testing"

	"latchkey/deploy/dev/fakegoogle"
	"latchkey/resourceserver/internal/config"
	"latchkey/resourceserver/internal/policy"
)

// TestShare: the person sees with whom and what; policies come first; nothing is
// shared before.
func TestShare(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.google.AddFile(alice, fakegoogle.NewFile{Name: "Plan\nWith: nobody", MimeType: "text/plain"})
	shared := func(r *rig) int { return r.google.Count("POST /drive/v3/files/" + id + "/permissions") }
	args := map[string]any{"file_id": id, "with": []string{bob, "carol@outsider.test", bob}, "role": "writer"}
	if out := r.call(r.as.mint(full), "drive_share", args); out.Data["code"] != "confirmation_required" || shared(r) != 0 {
		t.Errorf("without a person: %v", out.Data)
	}
	if out, _ := r.modern(r.as.mint(full), "drive_share", args, "e30", "accept"); out.Data["code"] != "confirmation_invalid" || shared(r) != 0 {
		t.Errorf("forged: %v", out.Data)
	}
	_, q := r.modern(r.as.mint(full), "drive_share", args, "", "")
	want := "Let these people read and change a file of alice@example.com?\nWith: bob@example.com, carol@outsider.test\nOUTSIDE of the organization: carol@outsider.test\nName:\n| Plan With: nobody"
	if q == nil || q.message != want {
		t.Fatalf("question: %+v", q)
	}
	if out, _ := r.modern(r.as.mint(full), "drive_share", args, q.state, "decline"); out.Data["code"] != "declined" || shared(r) != 0 {
		t.Errorf("declined: %v", out.Data)
	}
	other := map[string]any{"file_id": id, "with": []string{"evil@evil.test"}, "role": "writer"}
	if out, _ := r.modern(r.as.mint(full), "drive_share", other, q.state, "accept"); out.Data["code"] != "confirmation_invalid" || shared(r) != 0 {
		t.Errorf("another's confirmation: %v", out.Data)
	}
	if out, _ := r.confirm("drive_share", args); len(out.Data["shared_with"].([]any)) != 2 || shared(r) != 2 {
		t.Errorf("confirmed: %v", out.Data)
	}
	if out := r.ok("drive_get_file", map[string]any{"file_id": id}); len(out["access"].([]any)) != 0 && field(out, "file", "shared") != true {
		t.Errorf("access: %v", out)
	}
	for what, with := range map[string]any{"a name": []string{"Bob <bob@example.com>"}, "nobody": []string{}, "anyone": []string{"anyone"},
		"what is not seen": []string{"bob\u200b@example.com"}, "another line": []string{"\"a\u2028b\"@example.com"}} {
		if bad := r.call(r.as.mint(full), "drive_share", map[string]any{"file_id": id, "with": with, "role": "reader"}); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	for what, p := range map[string]policy.Policy{
		"outside is blocked": {Send: policy.SendConfirm, ExternalShare: policy.ShareBlock, Confirmation: policy.ConfirmByClient},
		"domains":            {Send: policy.SendConfirm, ExternalShare: policy.ShareConfirm, Confirmation: policy.ConfirmByClient, RecipientDomains: []string{"example.com"}},
		"no policy":          {},
	} {
		r := start(t, func(c *config.Server) { c.Policy = p })
		file := r.file("plan.txt")
		if out, q := r.modern(r.as.mint(full), "drive_share", map[string]any{"file_id": file, "with": []string{"carol@outsider.test"}, "role": "reader"}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: %v %v", what, out.Data, q)
		}
		inside := map[string]any{"file_id": file, "with": []string{bob}, "role": "reader"}
		if out, q := r.modern(r.as.mint(full), "drive_share", inside, "", ""); (q == nil) != !p.MaySend() || q == nil && out.Data["code"] != "policy_blocked" {
			t.Errorf("%s: inside, with mail: %v %v", what, out.Data, q)
		}
		inside["silent"] = true
		if out, q := r.modern(r.as.mint(full), "drive_share", inside, "", ""); (q == nil) != !p.MayAskByClient() || q == nil && out.Data["code"] != "confirmation_required" {
			t.Errorf("%s: inside is not asked about: %v", what, out.Data)
		}
	}
}

// TestComments: written after the person has read them, answered, resolved.
func TestComments(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.file("plan.txt")
	out, q := r.confirm("drive_comments_add", map[string]any{"file_id": id, "text": "Please check.\nFile: none"})
	if !strings.HasPrefix(q.message, "Write this comment as alice@example.com?") || !strings.HasSuffix(q.message, "\nText:\n| Please check.\n| File: none") {
		t.Errorf("question: %q", q.message)
	}
	c := out.Data["comment_id"]
	r.confirm("drive_comments_add", map[string]any{"file_id": id, "comment_id": c, "text": "Done", "action": "resolve"})
	list := r.ok("drive_comments_list", map[string]any{"file_id": id})
	if field(list, "comments", 0, "resolved") != true || field(list, "comments", 0, "replies", 0, "text") != "Done" || field(list, "comments", 0, "text") != "Please check.\nFile: none" {
		t.Errorf("comments: %v", list)
	}
	for what, args := range map[string]map[string]any{"nothing": {}, "what to resolve": {"action": "resolve"}, "a path": {"text": "x", "comment_id": "../x"}} {
		args["file_id"] = id
		if bad := r.call(r.as.mint(full), "drive_comments_add", args); bad.Data["code"] != "invalid_argument" {
			t.Errorf("%s: %v", what, bad.Data)
		}
	}
	strict := start(t, func(c *config.Server) { c.Policy.RecipientDomains = []string{"example.com"} })
	for _, text := range []string{
		"+carol@outsider.test look", "+carol@outsider.test,bob@example.com", "+carol@outsider.test/bob@example.com", "(carol@outsider.test)bob@example.com",
		"carol@outsider.test\u2014bob@example.com", "bob@example.com@carol@outsider.test", "x@example.com.outsider.test", "bob@example.com\u3002outsider.test",
	} {
		args := map[string]any{"file_id": strict.file("plan.txt"), "text": text}
		if out, q := strict.modern(strict.as.mint(full), "drive_comments_add", args, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
			t.Errorf("mention %q: %v", text, out.Data)
		}
	}
	for _, text := range []string{"(+bob@example.com, @ten: done?)", "Ask bob@example.com."} {
		if _, q := strict.modern(strict.as.mint(full), "drive_comments_add", map[string]any{"file_id": strict.file("plan.txt"), "text": text}, "", ""); q == nil {
			t.Errorf("%q is not asked about", text)
		}
	}
	held := start(t, func(c *config.Server) { c.Policy.Send = policy.SendDraftOnly })
	if out, q := held.modern(held.as.mint(full), "drive_comments_add", map[string]any{"file_id": held.file("plan.txt"), "text": "x"}, "", ""); q != nil || out.Data["code"] != "policy_blocked" {
		t.Errorf("drafts only: %v", out.Data)
	}
}
