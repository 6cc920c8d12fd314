package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"eventshop.example/pkg/errs"
)

// MaxBody is the largest accepted request body in bytes, unless [WithMaxBody] sets another limit.
const MaxBody = 1 << 20

// drainBody is how much of a too large body is still read, so that a client that sends the whole
// body before it reads receives the 413 and not a reset connection.
const drainBody = 8 << 20

// body is a request body that was read completely. It remains readable as a stream, and its bytes
// stay available after that.
type body struct {
	*bytes.Reader
	data    []byte
	checked bool // strict accepted it
}

func (*body) Close() error { return nil }

// readBody returns the whole body and leaves it in r for the next reader. The error is 413 for a
// body above limit, 408 for a body that did not arrive in time, which is no fault of the request,
// and 400 for one that cannot be read.
func readBody(r *http.Request, limit int) (*body, error) {
	if b, ok := r.Body.(*body); ok {
		return b, nil
	}
	if r.Body == nil || r.Body == http.NoBody {
		return &body{Reader: bytes.NewReader(nil)}, nil
	}
	tooLarge := WithStatus(http.StatusRequestEntityTooLarge,
		errs.Field("", "the body is larger than %d bytes", limit))
	if r.ContentLength > int64(limit) && r.Header.Get("Expect") != "" {
		return nil, tooLarge // the client waits for permission and has not sent the body
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, WithStatus(http.StatusRequestTimeout, errs.New(errs.Invalid, "the body did not arrive in time: %w", err))
	}
	if err != nil {
		return nil, WithStatus(http.StatusBadRequest, errs.New(errs.Invalid, "the body cannot be read: %w", err))
	}
	if len(data) > limit {
		io.CopyN(io.Discard, r.Body, drainBody) //nolint:errcheck // the request is refused either way
		return nil, tooLarge
	}
	r.Body.Close()
	b := &body{Reader: bytes.NewReader(data), data: data}
	r.Body, r.ContentLength = b, int64(len(data))
	return b, nil
}

// checkJSON checks the content type (415) and the JSON itself (400).
func (b *body) checkJSON(contentType string) error {
	if b.checked {
		return nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return WithStatus(http.StatusUnsupportedMediaType,
			errs.Field("Content-Type", "must be application/json"))
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return WithStatus(http.StatusUnsupportedMediaType,
			errs.Field("Content-Type", "must have no charset or utf-8"))
	}
	if err := strict(b.data); err != nil {
		return WithStatus(http.StatusBadRequest, err)
	}
	b.checked = true
	return nil
}

// Decode reads the body as a T. After [Validator] it can only fail for a number that the Go type
// cannot represent exactly (1.0, 1e2 or 2^63 for an int64); the error, errs.Invalid, names the
// field. Without Validator, Decode checks the size, the content type and strict JSON itself, and
// refuses unknown fields. Amounts are json.Number in T, so that no digit is lost. Decode can be
// called again on the same request.
func Decode[T any](r *http.Request) (T, error) {
	var v T
	b, err := readBody(r, MaxBody)
	if err != nil {
		return v, err
	}
	if len(b.data) == 0 {
		return v, WithStatus(http.StatusBadRequest, errs.Field("", "a JSON body is required"))
	}
	if err := b.checkJSON(r.Header.Get("Content-Type")); err != nil {
		return v, err
	}
	dec := json.NewDecoder(bytes.NewReader(b.data))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, decodeError(b.data, err)
	}
	return v, nil
}

func decodeError(data []byte, err error) error {
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		wanted := mismatch.Type.String()
		if k := mismatch.Type.Kind().String(); strings.HasPrefix(k, "int") || strings.HasPrefix(k, "uint") {
			wanted = "an integer in range, without fraction and exponent"
		}
		return errs.Field(fieldAt(data, mismatch.Offset), "must be %s", wanted)
	}
	// encoding/json has no exported type for an unknown field.
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return errs.Field(strings.Trim(quoted, `"`), "is unknown")
	}
	return errs.New(errs.Invalid, "the body cannot be read: %w", err)
}
