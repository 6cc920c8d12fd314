// Package httpapi is the HTTP edge of a service: it refuses bad requests before
// a handler sees them, turns errors into problem documents (RFC 9457), makes
// POST idempotent by Idempotency-Key, and carries correlation and trace ids.
//
// It guarantees that a request which does not match the service's OpenAPI
// document never reaches a handler and is answered with a 4xx that names the
// field or parameter, that no input makes it answer 5xx, and that an answer
// stored under an idempotency key was committed with its effect or not at all.
// It does not authenticate: the caller is whoever X-Caller-Id says. A database
// that is down, full, read-only or overloaded is 503 with Retry-After; a panic of a handler
// is 500 and logged.
//
// Every request is answered before its connection is cut: a handler has ten seconds
// (WithDeadline) from when the request was read, and five more are for the answer. At the
// deadline the answer is 503. Whether an order was placed then is unknown, since the commit
// may have been on its way: a repetition under the same Idempotency-Key gets the answer, and
// one without a key may place a second order.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/postgres"
)

// statusClientGone is what the log and the metrics show when the client left
// before the answer; nobody reads it. The number is nginx's.
const statusClientGone = 499

// retryAfterSeconds is sent with 503 and with the 409 of a request in flight.
const retryAfterSeconds = "1"

// Problem is a problem document of RFC 9457. It is an error, too: a handler may
// return one where the kinds of package errs do not say enough.
type Problem struct {
	Type     string            `json:"type"`             // a URI; "about:blank" when the status says it all
	Title    string            `json:"title"`            // the same for every occurrence of the type
	Status   int               `json:"status"`           // the HTTP status
	Detail   string            `json:"detail,omitempty"` // about this occurrence
	Instance string            `json:"instance,omitempty"`
	Errors   []errs.FieldError `json:"errors,omitempty"` // what is wrong with which field or parameter
}

// Error returns title and detail.
func (p Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Title + ": " + p.Detail
}

// statusError gives an error a status other than that of its kind.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// WithStatus gives err an HTTP status that takes the place of its kind's, such
// as 400 for an Invalid query parameter.
func WithStatus(status int, err error) error { return &statusError{status, err} }

// WriteError answers with the problem document of err and logs what the caller
// cannot see: 5xx as an error, once, here. A Problem is sent as it is; otherwise
// the status is that of WithStatus, or of the error's kind:
//
//	Invalid, Hopeless 422 · NotFound 404 · Conflict 409 · Transient 503 · Internal 500
//
// An error of the database gets its kind here when the handler gave none. A kind that only
// follows from a SQLSTATE (errs.Derived) makes no 4xx: the request was valid when it got
// here, so a row in the way or a value out of range is the server's fault, 500. When the
// request's deadline has passed, the answer is 503.
//
// The detail is the error's text, except for 5xx and for errors of the database,
// whose text is not the caller's business.
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

// writeProblem fills in what is missing and answers.
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
	if p.Status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfterSeconds)
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and a number: cannot happen
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	writeBody(w, p.Status, "application/problem+json", body)
}

// WriteJSON answers with v as JSON. A value that cannot be encoded is a bug: it
// is logged and answered with 500.
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

// BadParameter answers 400 naming the parameter. It is the ErrorHandlerFunc of
// the chi server that oapi-codegen generates, whose error types live in each
// generated package and have the parameter's name in a field ParamName.
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
