package schema

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/riferrei/srclient"
	"golang.org/x/sync/singleflight"

	"eventshop.example/pkg/errs"
)

const (
	// defaultTimeout bounds one request. A registry answers in milliseconds. One that needs longer
	// is down, and callers may have a transaction open meanwhile.
	defaultTimeout = 2 * time.Second

	// Error codes of Confluent's registry API: an HTTP status, or one with two further digits.
	codeConflict       = 409
	codeUnprocessable  = 422
	codeSubjectUnknown = 40401
	codeVersionUnknown = 40402
	codeSchemaUnknown  = 40403
	codeLevelUnknown   = 40408 // the subject has no level of its own
	codeNotPermitted   = 42205 // the subject, or the registry, is read-only
)

// maxSearched bounds the versions that Search reads. A subject with more has changed its schema
// weekly for years, and the wanted version is among the newest.
const maxSearched = 100

// Client is a client of a Confluent-compatible schema registry. It caches no schemas; the [Codec]
// does. Errors: errs.Transient when the registry cannot be asked, does not answer in time, fails,
// forbids the request, is read-only, or returns a response that no registry returns. errs.NotFound,
// errs.Conflict and errs.Invalid are answers of the registry. It is safe for concurrent use;
// simultaneous requests for the same schema are sent once.
type Client struct {
	registry *srclient.SchemaRegistryClient
	flights  singleflight.Group
}

// Option configures a new [Client].
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
	httpClient.Transport = bounded{httpClient.Transport}
	registry := srclient.NewSchemaRegistryClient(strings.TrimRight(url, "/"), srclient.WithClient(httpClient))
	// Its cache would keep "latest" for ever.
	registry.CachingEnabled(false)
	return &Client{registry: registry}
}

// Register makes a schema the newest version of the subject and returns its id. When the subject
// has the schema already, it only looks up the id. errs.Conflict when the schema breaks the
// subject's compatibility, errs.Invalid when it is no Avro schema.
func (c *Client) Register(ctx context.Context, subject, schema string) (int, error) {
	return call(ctx, c, "register\x00"+subject+"\x00"+schema, "register schema "+subject, func() (int, error) {
		s, err := c.registry.CreateSchema(subject, schema, srclient.Avro)
		if err != nil {
			return 0, err
		}
		return validID(s.ID())
	})
}

// Lookup returns the id under which the subject has the schema, and writes nothing. errs.NotFound
// when the subject does not exist or does not have the schema.
func (c *Client) Lookup(ctx context.Context, subject, schema string) (int, error) {
	return call(ctx, c, "lookup\x00"+subject+"\x00"+schema, "look up schema of "+subject, func() (int, error) {
		s, err := c.registry.LookupSchema(subject, schema, srclient.Avro)
		if err != nil {
			return 0, err
		}
		return validID(s.ID())
	})
}

// Search is Lookup without POST requests, for a registry behind a proxy that forbids every POST: it
// compares the schema with the subject's versions, newest first.
func (c *Client) Search(ctx context.Context, subject, schema string) (int, error) {
	return call(ctx, c, "search\x00"+subject+"\x00"+schema, "search for the schema among the versions of "+subject, func() (int, error) {
		want, err := Canonical(schema)
		if err != nil {
			return 0, err
		}
		versions, err := c.registry.GetSchemaVersions(subject)
		if err != nil {
			return 0, err
		}
		slices.Sort(versions)
		for i, v := range slices.Backward(versions) {
			if len(versions)-i > maxSearched {
				break
			}
			s, err := c.registry.GetSchemaByVersion(subject, v)
			if err != nil {
				return 0, err
			}
			if have, err := Canonical(s.Schema()); err == nil && have == want {
				return validID(s.ID())
			}
		}
		return 0, errs.New(errs.NotFound, "none of its %d versions is the schema", len(versions))
	})
}

// Schema returns the Avro schema with an id. errs.NotFound when the registry has none, errs.Invalid
// when it is a schema of another kind, such as Protobuf.
func (c *Client) Schema(ctx context.Context, id int) (string, error) {
	return call(ctx, c, "id\x00"+itoa(id), "look up schema id "+itoa(id), func() (string, error) {
		s, err := c.registry.GetSchema(id)
		if err != nil {
			return "", err
		}
		if kind := s.SchemaType(); kind != nil && *kind != "" && *kind != srclient.Avro {
			return "", errs.New(errs.Invalid, "it is a schema of type %s, not Avro", *kind)
		}
		if strings.TrimSpace(s.Schema()) == "" {
			return "", errors.New("the answer holds no schema")
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

// Compatibility returns the level that new versions of a subject are checked for. errs.NotFound
// when the subject has no level of its own.
func (c *Client) Compatibility(ctx context.Context, subject string) (Level, error) {
	return call(ctx, c, "level of\x00"+subject, "look up compatibility of "+subject, func() (Level, error) {
		level, err := c.registry.GetCompatibilityLevel(subject, false)
		if err != nil {
			return "", err
		}
		return Level(*level), nil
	})
}

// SetCompatibility sets the level that new versions of a subject are checked for.
func (c *Client) SetCompatibility(ctx context.Context, subject string, level Level) error {
	_, err := call(ctx, c, "level\x00"+subject+"\x00"+string(level), "set compatibility of "+subject,
		func() (struct{}, error) {
			_, err := c.registry.ChangeSubjectCompatibilityLevel(subject, srclient.CompatibilityLevel(level))
			return struct{}{}, err
		})
	return err
}

// call sends one request for all callers that need it at the same time. The client library does not
// support contexts: a caller whose context ends returns, and the request continues for the others
// until the client's timeout.
func call[T any](ctx context.Context, c *Client, key, attempt string, ask func() (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, errs.Wrap(errs.Transient, err, attempt)
	}
	answer := c.flights.DoChan(key, func() (any, error) { return guarded(ask) })
	select {
	case <-ctx.Done():
		return zero, errs.Wrap(errs.Transient, ctx.Err(), attempt)
	case got := <-answer:
		if got.Err != nil {
			return zero, errs.Wrap(classify(got.Err), brief(got.Err), attempt)
		}
		return got.Val.(T), nil
	}
}

// classify distinguishes the registry's answers from failures. Only an error code of the registry
// itself is an answer: a bare 404 may come from a proxy or a wrong URL. Interpreted as "no such
// schema", it would dead-letter every record.
func classify(err error) errs.Kind {
	if kind := errs.KindOf(err); kind == errs.Invalid || kind == errs.NotFound {
		return kind
	}
	var answer srclient.Error
	if !errors.As(err, &answer) {
		return errs.Transient
	}
	switch code := answer.Code; {
	case code == codeSchemaUnknown, code == codeSubjectUnknown, code == codeVersionUnknown, code == codeLevelUnknown:
		return errs.NotFound
	case code == codeConflict:
		return errs.Conflict
	case code == codeNotPermitted:
		return errs.Transient // an operator has made it read-only, and will make it writable again
	case code == codeUnprocessable, code/100 == codeUnprocessable:
		return errs.Invalid
	default:
		return errs.Transient
	}
}
