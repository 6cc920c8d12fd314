// Package mailbox is the client of the mail provider's HTTP API.
//
// It guarantees that every decision it returns is the provider's own. When no answer arrives (timeout,
// cut connection, 5xx), the outcome is unknown, and the client looks the mail up by its key. When the
// lookup does not decide either, the error has kind errs.Transient and the caller tries again with
// the same key and the same mail. The client never assumes that an unanswered request was not
// carried out. A refusal is an answer, not an error.
//
// Each attempt, with both requests, is one call through a circuit breaker. A call that the breaker
// refuses is Transient too and was not sent; errs.RetryAfter returns the time to wait.
//
// Every mail has an idempotency key, so a repeated request never delivers a second mail. Other errors
// have kind errs.Internal: the answer violates the API.
package mailbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/telemetry"
)

const (
	maxAnswer = 4 << 20 // bytes read of one answer, which repeats the mail
	maxCode   = 128     // bytes of a refusal's code
)

// Client calls one mail provider. [New] creates it. It is safe for concurrent use.
type Client struct {
	base    string
	timeout time.Duration
	breaker *breaker.Breaker
	http    *http.Client
}

// New returns a client for the provider at baseURL. timeout bounds one request, from dialling to the
// last byte of the answer. An attempt makes at most two requests.
func New(baseURL string, timeout time.Duration, b *breaker.Breaker) *Client {
	return &Client{
		base: strings.TrimRight(baseURL, "/"), timeout: timeout, breaker: b,
		http: &http.Client{Transport: &http.Transport{
			// The worker makes up to 16 concurrent calls.
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// Mail is a mail to send. One key must always carry the same mail.
type Mail struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	To         string `json:"to"`
	Subject    string `json:"subject"`
	Text       string `json:"text"`
}

// Answer is the provider's decision about one key.
type Answer struct {
	Refused bool
	Code    string // of a refusal
}

// state is the provider's record of a key, or the body of an error.
type state struct {
	Status string `json:"status"`
	Code   string `json:"code"`
}

// Send delivers a mail under key.
func (c *Client) Send(ctx context.Context, key string, m Mail) (Answer, error) {
	answer, err := breaker.Call(ctx, c.breaker, func(ctx context.Context) (Answer, error) { return c.send(ctx, key, m) })
	if err != nil {
		err = fmt.Errorf("send mail %s: %w", key, err)
	}
	return answer, err
}

// Wait returns how long the breaker would refuse attempts from now on, or 0 when it would let one
// through.
func (c *Client) Wait() time.Duration { return c.breaker.Wait(0) }

// IsRefused reports whether the breaker refused the attempt. The provider received no request.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*breaker.OpenError](err)
	return ok
}

func (c *Client) send(ctx context.Context, key string, m Mail) (Answer, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return Answer{}, errs.Wrap(errs.Internal, err, "encode mail")
	}
	status, s, err := c.request(ctx, http.MethodPut, key, body)
	switch {
	case err != nil || unknown(status):
		return c.settle(ctx, key, status, err)
	case status == http.StatusOK || status == http.StatusCreated:
		return Answer{}, nil
	case status == http.StatusUnprocessableEntity || status == http.StatusBadRequest:
		// The same key always carries the same mail, so no earlier request was answered otherwise.
		if s.Code == "" {
			s.Code = fmt.Sprintf("http_%d", status)
		}
		return Answer{Refused: true, Code: s.Code}, nil
	}
	return Answer{}, errs.New(errs.Internal, "the mail provider answered %d %s", status, s.Code)
}

// settle looks up the outcome of a request that got no answer. An unknown key is no decision, because
// the request may still arrive.
func (c *Client) settle(ctx context.Context, key string, status int, cause error) (Answer, error) {
	if cause == nil {
		cause = fmt.Errorf("the mail provider answered %d", status)
	}
	status, s, err := c.request(ctx, http.MethodGet, key, nil)
	switch {
	case err != nil:
		cause = fmt.Errorf("%w; and asking by key: %w", cause, err)
	case status == http.StatusOK && s.Status == "delivered":
		return Answer{}, nil
	case status == http.StatusOK && s.Status == "refused":
		return Answer{Refused: true, Code: s.Code}, nil
	}
	return Answer{}, errs.New(errs.Transient, "outcome unknown: %w", cause)
}

// request makes one request. It returns an error when no complete answer arrived in time.
func (c *Client) request(ctx context.Context, method, key string, body []byte) (int, state, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/v1/mails/"+url.PathEscape(key), bytes.NewReader(body))
	if err != nil {
		return 0, state{}, err
	}
	// net/http itself repeats a PUT when a kept connection breaks. The worker has to repeat it
	// instead, because it counts repetitions and backs off.
	req.GetBody = nil
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if parent, _ := telemetry.Trace(ctx); parent != "" {
		req.Header.Set("Traceparent", parent)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, state{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, state{}, err
	}
	var s state
	// The status of an answer is enough. A proxy may have replaced the provider's body with its own.
	_ = json.Unmarshal(raw, &s)
	s.Code = tidy(s.Code, maxCode)
	return res.StatusCode, s, nil
}

// unknown reports whether an answer says nothing about this mail. The statuses for authentication,
// rate limits and timeouts concern all requests.
func unknown(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// maxText bounds the text of an error in the table.
const maxText = 500

// Tidy makes the text of an error fit for a text column and a log line.
func Tidy(text string) string { return tidy(text, maxText) }

func tidy(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
