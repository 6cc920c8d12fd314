package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/riferrei/srclient"
)

const (
	// maxAnswer bounds what is read of one response, in bytes. The longest expected response is the
	// list of subjects: 100,000 names of 100 bytes.
	maxAnswer = 16 << 20
	// maxFailure bounds what is read of a failure response, in bytes.
	maxFailure = 64 << 10
	// maxReason bounds what is kept of a response as the reason of an error, in bytes. A proxy's
	// page is long, and the reason appears in logs and at /readyz.
	maxReason = 300
)

// bounded truncates responses at maxAnswer, because the client library reads a whole response. A
// failure that does not come from a registry, such as a proxy's page, is converted to the form of a
// registry's failure, with the HTTP status as its error code.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	res, err := next.RoundTrip(req)
	if err != nil {
		return res, err
	}
	body := io.LimitReader(res.Body, maxAnswer)
	if res.StatusCode >= 400 {
		head, _ := io.ReadAll(io.LimitReader(body, maxFailure)) // an unreadable body is not a registry's response
		if !isFailure(head) {
			head = fmt.Appendf(nil, `{"error_code":%d,"message":%q}`, res.StatusCode, http.StatusText(res.StatusCode))
		}
		body = bytes.NewReader(head)
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{body, res.Body}
	return res, nil
}

// isFailure reports whether a body is a registry's failure response.
func isFailure(body []byte) bool {
	var failure struct {
		Code *int `json:"error_code"`
	}
	return json.Unmarshal(body, &failure) == nil && failure.Code != nil
}

// guarded turns a panic of the client library into an error. The library follows a nil pointer when
// a successful response has the body "null", and a panic in a shared request would end the process.
func guarded[T any](ask func() (T, error)) (answer T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the registry's answer cannot be understood: %v", p)
		}
	}()
	return ask()
}

// validID refuses an invalid schema id: a response without an id reads as 0.
func validID(id int) (int, error) {
	if id <= 0 || id > math.MaxInt32 {
		return 0, fmt.Errorf("the answer holds no schema id: %d", id)
	}
	return id, nil
}

// brief shortens an error's text to one line of a log, and keeps its chain.
func brief(err error) error {
	text := err.Error()
	if answer, ok := errors.AsType[srclient.Error](err); ok {
		text = fmt.Sprintf("%s (error code %d)", strings.TrimSpace(answer.Message), answer.Code)
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return described{text, err}
}

// described is an error with its own text.
type described struct {
	text string
	error
}

func (d described) Error() string { return d.text }
func (d described) Unwrap() error { return d.error }

// refusal reports whether the registry, or a proxy before it, answered and does not allow the
// request. A change by an operator then helps more than asking again soon.
func refusal(err error) bool {
	var answer srclient.Error
	if !errors.As(err, &answer) {
		return false
	}
	status := answer.Code
	for status >= 1000 {
		status /= 10
	}
	return status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}
