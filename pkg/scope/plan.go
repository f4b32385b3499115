package scope

import "latchkey/pkg/oauth"

// entitled are the Google scopes to which each MCP scope entitles its holder.
var entitled = func() map[string]oauth.Scopes {
	m := make(map[string]oauth.Scopes, len(definitions))
	for _, d := range definitions {
		var all []string
		for _, name := range expanded[d.Name].Slice() {
			all = append(all, byName[name].Google...)
		}
		m[d.Name] = oauth.NewScopes(all...)
	}
	return m
}()

// Entitled returns every Google scope to which MCP scopes entitle their holder:
// those that they and the scopes they imply need. A Google access token for
// their holder carries no other (DESIGN §1.1). A scope that only covers one of
// these, or is covered by one, is not among them.
func Entitled(mcp oauth.Scopes) oauth.Scopes {
	var out oauth.Scopes
	for _, name := range mcp.Slice() {
		out = out.Union(entitled[name])
	}
	return out
}

// AllowsGoogle reports whether MCP scopes entitle their holder to a Google
// scope: the exchange hands out nothing else (DESIGN §1.1).
func AllowsGoogle(mcp oauth.Scopes, googleScope string) bool {
	for _, name := range mcp.Slice() {
		if entitled[name].Contains(googleScope) {
			return true
		}
	}
	return false
}

// GoogleFor returns the Google scopes to ask a person for so that the MCP
// scopes and all they imply work, without those of the sign-in itself, and
// never one beside another that covers it: Google's reviewers refuse that.
func GoogleFor(mcp oauth.Scopes) oauth.Scopes {
	all := Entitled(mcp)
	var covered []string
	for _, name := range all.Slice() {
		covered = append(covered, covers[name]...)
	}
	return all.Minus(oauth.NewScopes(covered...))
}

// Lacking returns which of the needed Google scopes a holder of MCP scopes does
// not get from what the person granted at Google: those that are neither
// granted nor covered by a granted scope, of the scopes to which the holder is
// entitled. What the person granted for another app counts for nothing here: a
// holder who may only read is not served by a grant to modify.
func Lacking(mcp, need, granted oauth.Scopes) oauth.Scopes {
	served := granted.Intersect(Entitled(mcp)).Slice()
	for _, name := range served {
		served = append(served, covers[name]...)
	}
	return need.Minus(oauth.NewScopes(served...))
}

// Missing returns the Google scopes to ask a person for beside those granted
// already, so that the wanted MCP scopes work: incremental consent.
func Missing(want, granted oauth.Scopes) oauth.Scopes {
	return Lacking(want, GoogleFor(want), granted)
}

// Usable narrows MCP scopes to those whose Google scopes a person really
// granted, themselves or one that covers them and that a scope in the result
// entitles to: an unticked box narrows the token, it does not fail the flow.
func Usable(mcp, granted oauth.Scopes) oauth.Scopes {
	for {
		var kept []string
		for _, name := range mcp.Slice() {
			d, ok := byName[name]
			if ok && Lacking(mcp, oauth.NewScopes(d.Google...), granted).Empty() {
				kept = append(kept, name)
			}
		}
		// A dropped scope entitles to nothing, so what its Google scopes covered
		// is looked at once more.
		out := oauth.NewScopes(kept...)
		if out.Equal(mcp) {
			return out
		}
		mcp = out
	}
}

// Needed returns the least MCP scopes that entitle to a Google scope, for an
// insufficient_scope answer.
func Needed(googleScope string) oauth.Scopes {
	for _, d := range definitions {
		if oauth.NewScopes(d.Google...).Contains(googleScope) {
			return oauth.NewScopes(d.Name)
		}
	}
	return oauth.Scopes{}
}

// Ask returns the Google scopes for which a resource server asks the exchange,
// for a tool that needs some and a token with the held MCP scopes: the needed
// one where the token entitles to it, else those of the held scope that stands
// in for it. A need that nothing held serves stays as it is, and the exchange
// refuses it.
func Ask(held, need oauth.Scopes) oauth.Scopes {
	var out []string
	for _, g := range need.Slice() {
		serving := []string{g}
		if !AllowsGoogle(held, g) {
			for _, name := range Expand(held).Slice() {
				if d := byName[name]; AllowsGoogle(oauth.NewScopes(d.StandsIn...), g) {
					serving = d.Google
				}
			}
		}
		out = append(out, serving...)
	}
	return oauth.NewScopes(out...)
}
