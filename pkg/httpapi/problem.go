// Package httpapi is the HTTP edge of a service: it refuses bad requests before a handler sees
// them, turns errors into problem documents (RFC 9457), makes POST idempotent by Idempotency-Key,
// and carries correlation and trace ids.
//
// # What it guarantees
//
//   - A request that does not match the service's OpenAPI document never reaches a handler. Its
//     response is a 4xx that names the field or parameter.
//   - No input makes it answer 5xx.
//   - A response stored under an idempotency key was committed together with its effect, or not at
//     all.
//   - Every request is answered before its connection is cut: a handler has ten seconds
//     ([WithDeadline]) from when the request was read, and the response has five more.
//
// # What it does not
//
// It does not authenticate callers: it trusts X-Caller-Id.
//
// # How it fails
//
// A database that is down, full, read-only or overloaded is 503 with Retry-After; a panic of a
// handler is 500 and logged. At a handler's deadline the response is 503. It is then unknown
// whether the work was done, because the commit may have been on its way: a repetition under the
// same Idempotency-Key returns the outcome, and a repetition without a key may do the work twice.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strconv"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// statusClientGone is the status in the log and the metrics when the client left before the
// response. No client receives it. The number is nginx's.
const statusClientGone = 499

// retryAfterSeconds is sent with 503 and with the 409 of a request in flight.
const retryAfterSeconds = "1"

// Problem is a problem document of RFC 9457. It is also an error: a handler may return one when the
// kinds of package errs are not specific enough.
type Problem struct {
	Type     string            `json:"type"`             // a URI; "about:blank" when the status is sufficient
	Title    string            `json:"title"`            // the same for every occurrence of the type
	Status   int               `json:"status"`           // the HTTP status
	Detail   string            `json:"detail,omitempty"` // about this occurrence
	Instance string            `json:"instance,omitempty"`
	Errors   []errs.FieldError `json:"errors,omitempty"` // which field or parameter is wrong, and why
	Members  map[string]any    `json:"-"`                // further members that the type defines (RFC 9457, section 3.2)
	Header   http.Header       `json:"-"`                // further headers of the response
}

// MarshalJSON returns the problem document. A further member does not replace one of the fields.
func (p Problem) MarshalJSON() ([]byte, error) {
	type fields Problem
	if len(p.Members) == 0 {
		return json.Marshal(fields(p))
	}
	known, err := json.Marshal(fields(p))
	if err != nil {
		return nil, err
	}
	all := maps.Clone(p.Members)
	if err := json.Unmarshal(known, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// Error returns title and detail.
func (p Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// statusError is an error with a status other than that of its kind.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// WithStatus sets an HTTP status for err that replaces its kind's, such as 400 for an Invalid query
// parameter.
func WithStatus(status int, err error) error { return &statusError{status, err} }

// WriteError responds with the problem document of err. It logs what the caller cannot see: a 5xx
// is logged as an error, once, here. A Problem is sent unchanged; otherwise the status is that of
// [WithStatus], or of the error's kind:
//
//	Invalid, Hopeless 422 · NotFound 404 · Conflict 409 · Transient 503 · Internal 500
//
// WriteError classifies an error of the database, so handlers and use cases return such errors
// unchanged. An error that has a kind keeps it. A kind that only follows from a SQLSTATE
// (errs.Derived) never results in a 4xx: the request was valid when it got here, so a conflicting
// row or a value out of range is the server's fault, 500. When the request's deadline has passed,
// the status is 503.
//
// The detail is the error's text, except for 5xx and for errors of the database, whose text callers
// must not see.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		slog.DebugContext(r.Context(), "client left before the answer", "error", err)
		w.WriteHeader(statusClientGone)
		return
	}
	var p Problem
	if errors.As(err, &p) {
		writeProblem(w, r, p)
		return
	}
	err = postgres.Classify(err)
	if errors.Is(r.Context().Err(), context.DeadlineExceeded) {
		err = errs.New(errs.Transient, "not done within the request's deadline: %w", err)
	}
	kind, status := errs.KindOf(err), statusOf(err)
	p = Problem{Status: status, Detail: err.Error(), Errors: errs.Fields(err)}
	switch {
	case status >= 500:
		slog.ErrorContext(r.Context(), "request failed", "error", err, "kind", kind.String(),
			"method", r.Method, "path", r.URL.Path, "status", status)
		p.Detail, p.Errors = "the server failed; the log has the reason", nil
		if status == http.StatusServiceUnavailable {
			p.Detail = "something the service needs is not available; try again"
		}
	case postgres.State(err) != "":
		slog.WarnContext(r.Context(), "request refused by the database", "error", err, "kind", kind.String(),
			"method", r.Method, "path", r.URL.Path, "status", status)
		p.Detail = "the stored data does not allow it"
	case kind == errs.Hopeless:
		slog.WarnContext(r.Context(), "request can never succeed", "error", err,
			"method", r.Method, "path", r.URL.Path, "status", status)
	}
	writeProblem(w, r, p)
}

func statusOf(err error) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	kind := errs.KindOf(err)
	if errs.Derived(err) && kind != errs.Transient {
		return http.StatusInternalServerError
	}
	switch kind {
	case errs.Invalid, errs.Hopeless:
		return http.StatusUnprocessableEntity
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Conflict:
		return http.StatusConflict
	case errs.Transient:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// writeProblem sets the missing fields and writes the response.
func writeProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if p.Instance == "" {
		p.Instance = r.URL.EscapedPath()
	}
	h := w.Header()
	maps.Copy(h, p.Header)
	if p.Status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfterSeconds)
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and a number: cannot happen
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	writeBody(w, p.Status, "application/problem+json", body)
}

// WriteJSON responds with v as JSON. A value that cannot be encoded is a bug: it is logged and
// answered with 500.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		slog.Error("encode the answer", "error", err)
		body, status = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`), http.StatusInternalServerError
		writeBody(w, status, "application/problem+json", body)
		return
	}
	writeBody(w, status, "application/json", body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body) // an error means that the client has gone
}

// BadParameter answers 400 with the name of the parameter. It is the ErrorHandlerFunc of the chi
// server that oapi-codegen generates. That server's error types are declared in each generated
// package and have the parameter's name in a field ParamName.
func BadParameter(w http.ResponseWriter, r *http.Request, err error) {
	name := ""
	if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct {
		if f := v.FieldByName("ParamName"); f.Kind() == reflect.String {
			name = f.String()
		}
	}
	detail := err.Error()
	if cause := errors.Unwrap(err); cause != nil {
		detail = cause.Error()
	}
	WriteError(w, r, WithStatus(http.StatusBadRequest, errs.Field(name, "%s", detail)))
}
