package eventshop

import (
	"context"
	"net/url"
	"strings"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/schema"
)

// Registry is the address of a schema registry with its credentials.
type Registry struct {
	URL string // may contain a password: print String instead
	schema.Access
}

// String returns the URL without user and password.
func (r Registry) String() string { return WithoutUser(r.URL) }

// WithoutUser removes user and password from a URL.
func WithoutUser(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "a URL that cannot be read"
	}
	u.User, u.Path = nil, strings.TrimRight(u.Path, "/")
	return u.String()
}

// Client returns a client with the same credentials as the services.
func (r Registry) Client() *schema.Client {
	return schema.NewClient(r.URL, schema.WithAccess(r.Access))
}

// Answers requests the schema that every service needs. It returns why there is no answer. "No
// schema registered yet" is an answer, but only in a registry's own format: a server of another
// kind that returns 404 for every path is an error.
func (r Registry) Answers(ctx context.Context) error {
	_, err := r.Client().Latest(ctx, events.Catalogue().Types()[0].Subject)
	if err != nil && errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}
