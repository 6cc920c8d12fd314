package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/telemetry"
)

// Validator returns a middleware that only passes requests that match the document, which must meet
// the rules of [LoadSpec]. In this order it answers
//
//	404, 405 (with Allow)   no such path or method
//	400  a path, query or header parameter that is missing, malformed, unknown
//	     (query only) or given twice, named
//	413  a body above MaxBody (or WithMaxBody), with a length or chunked
//	400  no body where one is required, or one where none is known
//	415  a content type other than application/json in UTF-8
//	400  JSON that is not strict (UTF-8, NUL, duplicate names, trailing data,
//	     depth), naming the field
//	422  JSON that breaks the schema, naming each field (the first 20; the first one
//	     of a body above 64 KiB)
//
// It does not fill in defaults of the document; handlers do. The context of a passed request ends
// after ten seconds (or [WithDeadline]).
func Validator(spec *openapi3.T, opts ...Option) (func(http.Handler) http.Handler, error) {
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	first := append(formats(), openapi3.VisitAsRequest())
	v := &validator{routes: newRoutes(spec), first: first, all: append(slices.Clone(first), openapi3.MultiErrors()), maxBody: MaxBody, deadline: defaultDeadline}
	for _, opt := range opts {
		opt(v)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := v.check(w, r); err != nil {
				WriteError(w, r, err)
				return
			}
			// The body has been read; the handler's time starts here. The server's own limit counts
			// from the request's first byte and would cut the connection of a request that arrived
			// slowly.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(v.deadline + answerTimeout)) // a writer without one has no limit
			ctx, cancel := context.WithTimeout(r.Context(), v.deadline)
			defer cancel()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}, nil
}

const (
	// defaultDeadline is longer than a request may wait for a connection (2 s) and then for a
	// lock (3 s) or a statement (8 s); see postgres.OpenPools.
	defaultDeadline = 10 * time.Second
	// answerTimeout allows a slow client to receive the response.
	answerTimeout = 5 * time.Second
)

type validator struct {
	routes     *routes
	first, all []openapi3.SchemaValidationOption // stop at the first error, or collect all
	maxBody    int                               // in bytes
	deadline   time.Duration                     // of a handler
	subject    string                            // see WithSubject
}

// Option configures [Validator].
type Option func(*validator)

// WithMaxBody accepts request bodies of up to n bytes.
func WithMaxBody(n int) Option { return func(v *validator) { v.maxBody = n } }

// WithDeadline sets the time for handlers, in place of ten seconds.
func WithDeadline(d time.Duration) Option { return func(v *validator) { v.deadline = d } }

// WithSubject names the parameter of paths that is the id of what a request is about, a UUID. The
// log lines of the request have it; see [telemetry.Concerns].
func WithSubject(parameter string) Option { return func(v *validator) { v.subject = parameter } }

// largeBody is the size in bytes from which only the first error is reported: all errors of a body
// that is wrong everywhere take a hundred times its memory.
const largeBody = 64 << 10

func (v *validator) check(w http.ResponseWriter, r *http.Request) error {
	// chi's rule: the escaped path if it differs from the plain one.
	path, escaped := r.URL.Path, r.URL.RawPath != ""
	if escaped {
		path = r.URL.RawPath
	}
	pattern, values, allowed := v.routes.find(r.Method, path)
	if pattern == "" {
		return notRouted(w, r, allowed)
	}
	setRoute(r, pattern)
	item := v.routes.spec.Paths.Value(pattern)
	op := item.GetOperation(r.Method)
	if err := v.checkParameters(r, item, op, pattern, values, escaped); err != nil {
		return WithStatus(http.StatusBadRequest, err)
	}
	if id, err := uuid.Parse(values[v.subject]); err == nil {
		telemetry.Concerns(r.Context(), id.String())
	}
	return v.checkBody(r, op)
}

func notRouted(w http.ResponseWriter, r *http.Request, allowed []string) error {
	if len(allowed) == 0 {
		return Problem{Status: http.StatusNotFound, Detail: "there is no such path"}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return Problem{Status: http.StatusMethodNotAllowed, Detail: "the path allows " + strings.Join(allowed, ", ")}
}

func (v *validator) checkParameters(r *http.Request, item *openapi3.PathItem, op *openapi3.Operation, pattern string, values map[string]string, escaped bool) error {
	for name, value := range values {
		if escaped {
			plain, err := url.PathUnescape(value)
			if err != nil {
				return errs.Field(name, "has a bad escape")
			}
			values[name] = plain
		}
		if err := checkText(name, values[name]); err != nil {
			return err
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errs.Field("", "the query is malformed: %v", err)
	}
	params := slices.Concat(item.Parameters, op.Parameters)
	for name, given := range query {
		i := slices.IndexFunc(params, func(p *openapi3.ParameterRef) bool {
			return p.Value.In == openapi3.ParameterInQuery && p.Value.Name == name
		})
		if i < 0 {
			return errs.Field(shorten(name), "is no parameter of this operation")
		}
		list := params[i].Value.Schema != nil && params[i].Value.Schema.Value.Type.Is("array")
		if len(given) > 1 && !list {
			return errs.Field(name, "is given more than once")
		}
		for _, value := range given {
			if err := checkText(name, value); err != nil {
				return err
			}
		}
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: values, QueryParams: query,
		Route:   &routers.Route{Spec: v.routes.spec, Path: pattern, PathItem: item, Method: r.Method, Operation: op},
		Options: &openapi3filter.Options{SkipSettingDefaults: true, SchemaValidationOptions: v.all},
	}
	var problems []error
	for _, p := range params {
		if err := openapi3filter.ValidateParameter(r.Context(), input, p.Value); err != nil {
			problems = append(problems, parameterError(p.Value, err))
		}
	}
	return errors.Join(problems...)
}

// checkText refuses what a text of the database cannot store.
func checkText(name, value string) error {
	if !utf8.ValidString(value) {
		return errs.Field(name, "is not valid UTF-8")
	}
	if strings.ContainsRune(value, 0) {
		return errs.Field(name, "contains the NUL character")
	}
	return nil
}

func (v *validator) checkBody(r *http.Request, op *openapi3.Operation) error {
	b, err := readBody(r, v.maxBody)
	if err != nil {
		return err
	}
	if len(b.data) == 0 {
		if op.RequestBody != nil && op.RequestBody.Value.Required {
			return WithStatus(http.StatusBadRequest, errs.Field("", "a JSON body is required"))
		}
		return nil
	}
	if op.RequestBody == nil {
		return WithStatus(http.StatusBadRequest, errs.Field("", "this operation takes no body"))
	}
	if err := b.checkJSON(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	var value any
	dec := json.NewDecoder(strings.NewReader(string(b.data)))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return WithStatus(http.StatusBadRequest, errs.New(errs.Invalid, "the body cannot be read: %w", err))
	}
	schema := op.RequestBody.Value.Content["application/json"].Schema.Value
	options := v.all
	if len(b.data) > largeBody {
		options = v.first
	}
	if err := schema.VisitJSON(value, options...); err != nil {
		return schemaErrors(value, err)
	}
	return nil
}
