package schema

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/riferrei/srclient"
	"golang.org/x/sync/singleflight"

	"eventshop.example/pkg/errs"
)

const (
	// defaultTimeout bounds one request. A registry answers in milliseconds; what takes
	// longer is down, and callers may hold a transaction open meanwhile.
	defaultTimeout = 2 * time.Second

	// Error codes of Confluent's registry API: an HTTP status, or one with two digits
	// that say more.
	codeConflict       = 409
	codeUnprocessable  = 422
	codeSubjectUnknown = 40401
	codeVersionUnknown = 40402
	codeSchemaUnknown  = 40403
)

// Levels of compatibility a registry checks new versions of a schema for.
const (
	Backward       = "BACKWARD"
	FullTransitive = "FULL_TRANSITIVE"
)

// Client talks to a Confluent-compatible schema registry. It keeps no schemas, which is
// the Codec's business. Errors: errs.Transient when the registry cannot be asked, does
// not answer in time or fails; errs.NotFound, errs.Conflict and errs.Invalid are answers
// of the registry. Safe for concurrent use; simultaneous questions for the same schema
// are one request.
type Client struct {
	registry *srclient.SchemaRegistryClient
	flights  singleflight.Group
}

// Option changes a Client when it is made.
type Option func(*http.Client)

// WithTimeout bounds each request to the registry, by default 2 s.
func WithTimeout(d time.Duration) Option {
	return func(c *http.Client) { c.Timeout = d }
}

// WithTransport sends the requests through rt, for example to count or to secure them.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *http.Client) { c.Transport = rt }
}

// NewClient returns a client of the registry at a URL such as "http://localhost:8081".
// It does not connect yet.
func NewClient(url string, opts ...Option) *Client {
	httpClient := &http.Client{Timeout: defaultTimeout}
	for _, opt := range opts {
		opt(httpClient)
	}
	registry := srclient.NewSchemaRegistryClient(strings.TrimRight(url, "/"), srclient.WithClient(httpClient))
	// Its cache would keep "latest" for ever.
	registry.CachingEnabled(false)
	return &Client{registry: registry}
}

// Register makes a schema the newest version of the subject and returns its id. It does
// nothing but look up the id when the subject has the schema already. errs.Conflict
// when it breaks the subject's compatibility, errs.Invalid when it is no Avro schema.
func (c *Client) Register(ctx context.Context, subject, schema string) (int, error) {
	return call(ctx, c, "register\x00"+subject+"\x00"+schema, "register schema "+subject, func() (int, error) {
		s, err := c.registry.CreateSchema(subject, schema, srclient.Avro)
		if err != nil {
			return 0, err
		}
		return s.ID(), nil
	})
}

// Schema returns the Avro schema with an id. errs.NotFound when the registry has none,
// errs.Invalid when it is a schema of another kind, such as Protobuf.
func (c *Client) Schema(ctx context.Context, id int) (string, error) {
	return call(ctx, c, "id\x00"+itoa(id), "look up schema id "+itoa(id), func() (string, error) {
		s, err := c.registry.GetSchema(id)
		if err != nil {
			return "", err
		}
		if kind := s.SchemaType(); kind != nil && *kind != "" && *kind != srclient.Avro {
			return "", errs.New(errs.Invalid, "it is a schema of type %s, not Avro", *kind)
		}
		return s.Schema(), nil
	})
}

// Version is one version of a subject.
type Version struct {
	ID      int // of the schema, unique in the registry
	Version int // within the subject, from 1
	Schema  string
}

// Latest returns the newest version of a subject. errs.NotFound when it has none.
func (c *Client) Latest(ctx context.Context, subject string) (Version, error) {
	return call(ctx, c, "latest\x00"+subject, "look up latest schema of "+subject, func() (Version, error) {
		s, err := c.registry.GetLatestSchema(subject)
		if err != nil {
			return Version{}, err
		}
		return Version{ID: s.ID(), Version: s.Version(), Schema: s.Schema()}, nil
	})
}

// Subjects returns the names of all subjects.
func (c *Client) Subjects(ctx context.Context) ([]string, error) {
	return call(ctx, c, "subjects", "list subjects", c.registry.GetSubjects)
}

// SetCompatibility sets the level that new versions of a subject are checked for.
func (c *Client) SetCompatibility(ctx context.Context, subject, level string) error {
	_, err := call(ctx, c, "level\x00"+subject+"\x00"+level, "set compatibility of "+subject,
		func() (struct{}, error) {
			_, err := c.registry.ChangeSubjectCompatibilityLevel(subject, srclient.CompatibilityLevel(level))
			return struct{}{}, err
		})
	return err
}

// call runs one question for all who ask it at the same time. The client library knows
// no contexts: a caller whose context ends goes away, and the question runs on, for the
// others, until the client's timeout.
func call[T any](ctx context.Context, c *Client, key, attempt string, ask func() (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, errs.Wrap(errs.Transient, err, attempt)
	}
	answer := c.flights.DoChan(key, func() (any, error) { return ask() })
	select {
	case <-ctx.Done():
		return zero, errs.Wrap(errs.Transient, ctx.Err(), attempt)
	case got := <-answer:
		if got.Err != nil {
			return zero, errs.Wrap(classify(got.Err), got.Err, attempt)
		}
		return got.Val.(T), nil
	}
}

// classify tells the registry's answers from the failures to get one. Only an error
// code of the registry itself is an answer: a bare 404 may come from a proxy or a wrong
// URL, and taking it for "no such schema" would dead-letter every record.
func classify(err error) errs.Kind {
	if kind := errs.KindOf(err); kind == errs.Invalid {
		return kind
	}
	var answer srclient.Error
	if !errors.As(err, &answer) {
		return errs.Transient
	}
	switch code := answer.Code; {
	case code == codeSchemaUnknown, code == codeSubjectUnknown, code == codeVersionUnknown:
		return errs.NotFound
	case code == codeConflict:
		return errs.Conflict
	case code == codeUnprocessable, code/100 == codeUnprocessable:
		return errs.Invalid
	default:
		return errs.Transient
	}
}
