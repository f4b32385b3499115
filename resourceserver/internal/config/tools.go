package config

import (
	"strings"

	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

const maxDomains = 100

// Tools are the settings of what the tools are and may do.
type Tools struct {
	ToolPreset       string   `name:"tool-preset" env:"TOOL_PRESET" default:"core" enum:"core,extended,complete,read-only" help:"Tools to offer: core, extended, complete or read-only."`
	SendPolicy       string   `name:"send-policy" env:"SEND_POLICY" default:"confirm" enum:"confirm,draft_only" help:"Mail: confirm sends it when the person has confirmed; draft_only leaves it as a draft."`
	RecipientDomains []string `name:"recipient-domains" env:"RECIPIENT_DOMAINS" sep:"," help:"The only domains to which mail may be sent, comma separated (default: any)." placeholder:"DOMAIN"`
	Confirmation     string   `name:"confirmation" env:"CONFIRMATION" default:"client" enum:"client,page" help:"Where people confirm what tools are about to do: client asks in the app where it can, page only on the authorization server's page, so that no program can answer for them."`
	ExternalShare    string   `name:"external-share" env:"EXTERNAL_SHARE" default:"confirm" enum:"confirm,block" help:"Sharing outside the account's domain: confirm or block. block also keeps tools from writing into files that people outside can see."`
}

// check returns the preset and the policy.
func (s Tools) check(p *problems) (tool.Preset, policy.Policy) {
	preset, err := tool.ParsePreset(s.ToolPreset)
	if err != nil {
		p.Addf("TOOL_PRESET: %v", err)
	}
	out := policy.Policy{Send: policy.Send(s.SendPolicy), ExternalShare: policy.Share(s.ExternalShare), Confirmation: policy.Confirmation(s.Confirmation)}
	if out.Confirmation != policy.ConfirmByClient && out.Confirmation != policy.ConfirmOnPage {
		p.Addf("CONFIRMATION %q is neither client nor page", s.Confirmation)
	}
	if out.Send != policy.SendConfirm && out.Send != policy.SendDraftOnly {
		p.Addf("SEND_POLICY %q is neither confirm nor draft_only", s.SendPolicy)
	}
	if out.ExternalShare != policy.ShareConfirm && out.ExternalShare != policy.ShareBlock {
		p.Addf("EXTERNAL_SHARE %q is neither confirm nor block", s.ExternalShare)
	}
	for _, d := range s.RecipientDomains {
		if d = strings.TrimSpace(d); d == "" {
			continue
		}
		domain, err := policy.Domain(d)
		if err != nil {
			p.Addf("RECIPIENT_DOMAINS: %q is not a domain such as example.com (no wildcard; list subdomains)", d)
			continue
		}
		out.RecipientDomains = append(out.RecipientDomains, domain)
	}
	if len(out.RecipientDomains) > maxDomains {
		p.Addf("RECIPIENT_DOMAINS has more than %d domains", maxDomains)
	}
	return preset, out
}
