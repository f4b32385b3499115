package chat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	chatapi "google.golang.org/api/chat/v1"

	"latchkey/resourceserver/internal/content"
	"latchkey/resourceserver/internal/elicit"
	"latchkey/resourceserver/internal/googleapi"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

type sendInput struct {
	Space   string `json:"space_id" limit:"minlen=1,maxlen=120"`
	Text    string `json:"text" limit:"minlen=1,maxlen=4000"`
	Thread  string `json:"thread_id,omitempty" jsonschema:"to answer in it" limit:"maxlen=300"`
	Account string `json:"account,omitempty" limit:"maxlen=64"`
}

type sendOutput struct {
	Account googleapi.Account `json:"account"`
	Message string            `json:"message_id"`
	Space   spaceEntry        `json:"space"`
}

// send sends what the person was shown, where they were told, and once: Chat
// returns the message that a request id made before.
func (p *product) send(ctx context.Context, in sendInput) (tool.Output[sendOutput], error) {
	var out tool.Output[sendOutput]
	name, err := space(in.Space)
	if err != nil {
		return out, err
	}
	text := strings.TrimSpace(content.Clean(in.Text))
	if text == "" {
		return out, tool.Invalid("text is empty.")
	}
	thread, inSpace := strings.CutPrefix(in.Thread, name+"/threads/")
	if in.Thread != "" && (!inSpace || !spaceName.MatchString(thread)) {
		return out, tool.Invalid("thread_id must be one of a message in this space.")
	}
	if rules := policy.From(ctx); !rules.MaySend() || len(rules.RecipientDomains) > 0 {
		return out, &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow chat messages: whom one reaches cannot be told here. Nothing was sent.", NextAction: "Tell the person; they can send it in Google Chat."}
	}
	api, account, err := p.open(ctx, in.Account)
	if err != nil {
		return out, err
	}
	s, err := api.Get(name).Fields(spaceFields).Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading space", err)
	}
	to := entry(s)
	newest, err := api.Messages.List(name).OrderBy("createTime DESC").PageSize(1).Fields("messages(" + messageFields + ")").Context(ctx).Do()
	if err != nil {
		return out, googleapi.Error("reading space", err)
	}
	if err := elicit.Confirm(ctx, elicit.Act{Question: question(account, to, newest.Messages, text, in.Thread != ""), Binding: name + " " + in.Thread}); err != nil {
		return out, err
	}
	m := &chatapi.Message{Text: text}
	sum := sha256.Sum256([]byte(elicit.ActID(ctx)))
	call := api.Messages.Create(name, m).RequestId(hex.EncodeToString(sum[:16])).Fields("name").Context(googleapi.Idempotent(ctx))
	if in.Thread != "" {
		m.Thread = &chatapi.Thread{Name: in.Thread}
		call.MessageReplyOption("REPLY_MESSAGE_OR_FAIL")
	}
	sent, err := call.Do()
	if err != nil {
		// Again would be another act, with a request id of its own.
		return out, tool.Doubtful(googleapi.Error("sending message", err), "Google did not answer: the message may have been sent.", "Look with chat_list_messages before you try again.")
	}
	out.Value = sendOutput{Account: account, Message: sent.Name, Space: to}
	out.Text = fmt.Sprintf("Sent from %s to %s (%s).", account.Email, to.ID, sent.Name)
	return out, nil
}

// question is what the person confirms. A direct message has no name, so what was
// written there last tells which one it is.
func question(account googleapi.Account, to spaceEntry, newest []*chatapi.Message, text string, answer bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Send this message in Google Chat from %s?\n", account.Email)
	where := strings.ReplaceAll(to.Type, "_", " ")
	if to.Name != "" {
		where += " “" + to.Name + "”"
	}
	fmt.Fprintf(&b, "To: %s (%s)\n", where, to.ID)
	if answer {
		b.WriteString("As an answer in a thread\n")
	}
	for _, m := range newest { // before the text, which can be long
		last := describe(m)
		b.WriteString("Newest message there:\n" + content.Mark(content.Line(last.Sender+": "+last.Text, maxName)) + "\n")
	}
	b.WriteString("Text:\n" + content.Mark(text))
	return b.String()
}
