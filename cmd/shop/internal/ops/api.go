package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of one answer: a page of 500 summaries is well below
// it, and so is a dead letter with a payload as large as Kafka takes, in two forms.
const maxAnswer = 32 << 20

// API is a JSON API over HTTP. It is made by NewAPI and may be used concurrently.
type API struct {
	base string
	http *http.Client
}

// NewAPI returns the API at a base URL. A nil client is one that gives up connecting
// after two seconds and leaves the rest to the context.
func NewAPI(base string, client *http.Client) API {
	if client == nil {
		client = newHTTP()
	}
	return API{base: strings.TrimSuffix(base, "/"), http: client}
}

func newHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
	}}
}

// Problem is an answer outside 2xx.
type Problem struct {
	Status int     `json:"status"` // of HTTP
	Title  string  `json:"title"`
	Detail string  `json:"detail"`
	Errors []Fault `json:"errors"`
}

// Fault is one thing that is wrong with what was sent.
type Fault struct {
	Field  string `json:"field"` // "" where it is none in particular
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = fmt.Sprintf("HTTP status %d", p.Status)
	}
	var faults []string
	for _, f := range p.Errors {
		fault := f.Detail
		if f.Field != "" {
			fault = f.Field + " " + f.Detail
		}
		if !strings.Contains(text, f.Detail) { // the detail often says it already
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 {
		text += ": " + strings.Join(faults, "; ")
	}
	return text
}

// StatusOf returns the HTTP status of a *Problem, or 0.
func StatusOf(err error) int {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// Unreachable says that there was no answer.
type Unreachable struct {
	Base string
	Sent bool // the request may have been heard and done
	err  error
}

func (u *Unreachable) Error() string {
	err := u.err
	var wrapped *url.Error // its text repeats method and URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var op *net.OpError // and its the address
	if errors.As(err, &op) {
		err = op.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return u.Base + " does not answer"
	}
	return fmt.Sprintf("%s: %v", u.Base, err)
}

func (u *Unreachable) Unwrap() error { return u.err }

// Call sends one request and decodes the answer into out; in and out may be nil.
// headers are names and values in turn.
func (a API) Call(ctx context.Context, method, path string, query url.Values, in, out any, headers ...string) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	target := a.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := a.http.Do(req)
	if err != nil {
		var op *net.OpError
		return &Unreachable{Base: a.base, Sent: !errors.As(err, &op) || op.Op != "dial", err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &Unreachable{Base: a.base, Sent: true, err: err}
	case len(b) > maxAnswer:
		return fmt.Errorf("%s %s: the answer is larger than %d bytes", method, path, maxAnswer)
	case res.StatusCode/100 != 2:
		p := &Problem{}
		if json.Unmarshal(b, p) != nil {
			p = &Problem{Detail: fmt.Sprintf("%s %s: %s", method, path, res.Status)}
		}
		p.Status = res.StatusCode
		return p
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not as expected: %w", method, path, err)
	}
	return nil
}
