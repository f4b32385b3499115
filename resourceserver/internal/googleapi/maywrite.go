package googleapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/api/drive/v3"

	"latchkey/pkg/oauth"
	"latchkey/resourceserver/internal/policy"
	"latchkey/resourceserver/internal/tool"
)

const (
	seesAll = "https://www.googleapis.com/auth/drive.readonly"
	seesOwn = "https://www.googleapis.com/auth/drive.file" // files that were made here

	permissionPages = 5
	permissionPage  = 100
)

// Sees are the scopes by which it can be told who sees a file. A tool that asks MayWrite
// names them as its Also.
func Sees() oauth.Scopes { return oauth.NewScopes(seesAll, seesOwn) }

// MayWrite returns nil if a file may be written into: the operator lets people share with
// others outside of their organization, or none of these can see the file. What is
// written into a file of somebody else's is as well as sent. In doubt it may not. Errors
// are *tool.Error and the context's.
func (a *API) MayWrite(ctx context.Context, account Account, file string) error {
	if policy.From(ctx).MayShareOutside() {
		return nil
	}
	for _, scope := range []string{seesAll, seesOwn} {
		s, err := a.OpenAlso(ctx, account.Handle, scope)
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		service, err := drive.NewService(ctx, s.Options("drive/v3/")...)
		if err != nil {
			return fmt.Errorf("making Drive client: %w", err)
		}
		if err := MayWrite(ctx, service, account, file); !errors.Is(err, errUnknown) {
			return err
		}
	}
	return errUnknown
}

var errUnknown = &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow sharing outside of the organization, and who can see this file cannot be told here; nothing was written.",
	NextAction: "Ask the person to allow the app to read Drive, or to write it in Google."}

// MayWrite is API.MayWrite for who has Drive's client already.
func MayWrite(ctx context.Context, service *drive.Service, account Account, file string) error {
	if policy.From(ctx).MayShareOutside() {
		return nil
	}
	token := ""
	for range permissionPages {
		call := service.Permissions.List(file).SupportsAllDrives(true).PageSize(permissionPage).Fields("nextPageToken", "permissions(type,emailAddress,domain,deleted)").Context(ctx)
		if token != "" {
			call.PageToken(token)
		}
		page, err := call.Do()
		if err != nil {
			err = Error("reading who has access", err)
			var e *tool.Error
			if errors.As(err, &e) && (e.Code == tool.CodeNotFound || e.Code == tool.CodePermissionDenied) {
				return errUnknown
			}
			return err
		}
		for _, p := range page.Permissions {
			if !p.Deleted && outside(account.Email, p) {
				return &tool.Error{Code: tool.CodePolicy, Message: "The operator of this server does not allow sharing outside of the organization, and others outside can see this file; nothing was written.",
					NextAction: "Tell the person; they can write it in Google."}
			}
		}
		if token = page.NextPageToken; token == "" {
			return nil
		}
	}
	return errUnknown
}

// outside reports whether a permission is of somebody outside of an account's
// organization; whoever has no name is.
func outside(account string, p *drive.Permission) bool {
	switch p.Type {
	case "user", "group":
		return !strings.EqualFold(p.EmailAddress, account) && !policy.SameOrganization(account, p.EmailAddress)
	case "domain":
		return !policy.SameOrganization(account, "@"+p.Domain)
	}
	return true
}
