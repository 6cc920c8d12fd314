// Package jsonhttp is a client of JSON APIs over HTTP: those of the services, of the operators'
// listeners, of the card gateway, and of Kafka Connect.
//
// # What it guarantees
//
// An answer is read completely before a call returns, and bounded in size. A status outside 2xx is
// a *[Problem], no answer is an *[Unreachable], which says whether the request may have been
// carried out.
//
// # What it does not
//
// It repeats nothing, and it bounds no call by time, only the attempt to connect: the context does.
package jsonhttp

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

// maxAnswer bounds the size of one answer. A page of 500 dead letters is well below it, and so is a
// dead letter whose payload is as large as Kafka accepts, in two representations.
const maxAnswer = 32 << 20

// Client sends requests to one base URL. Create it with [New]. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New returns a client of the API at a base URL. With the base "", paths are complete URLs. With a
// nil client it uses that of [NewHTTP].
func New(base string, client *http.Client) Client {
	if client == nil {
		client = NewHTTP()
	}
	return Client{base: strings.TrimSuffix(base, "/"), http: client}
}

// NewHTTP returns an HTTP client with connections of its own, whose attempts to connect end after
// two seconds.
func NewHTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
	}}
}

// Call sends one request and decodes the answer into out; in and out may be nil.
// headers are names and values in turn.
func (c Client) Call(ctx context.Context, method, path string, query url.Values, in, out any, headers ...string) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	req, err := c.request(ctx, method, path, body, headers)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return Decode(res, out)
}

// Answer is a response that was read completely.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send sends one request with a raw body, nil for none, and returns the answer whatever its status.
// headers are names and values in turn. The error is an *[Unreachable], unless the answer is too
// large.
func (c Client) Send(ctx context.Context, method, path string, body []byte, headers ...string) (Answer, error) {
	req, err := c.request(ctx, method, path, body, headers)
	if err != nil {
		return Answer{}, err
	}
	res, b, err := c.exchange(req)
	if err != nil {
		return Answer{}, err
	}
	return Answer{res.StatusCode, res.Header, b}, nil
}

// Do sends a request that a generated client has built. The response has a status of 2xx and a body
// that needs no network any more; see [Decode]. Errors are those of the package.
func (c Client) Do(req *http.Request) (*http.Response, error) {
	res, b, err := c.exchange(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, problemOf(req, res, b)
	}
	res.Request, res.Body = req, io.NopCloser(bytes.NewReader(b))
	return res, nil
}

// Decode decodes the body of a response of [Client.Do] into out, which may be nil, and closes it.
func Decode(res *http.Response, out any) error {
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: the answer is not as expected: %w", res.Request.Method, res.Request.URL.Path, err)
	}
	return nil
}

func (c Client) request(ctx context.Context, method, path string, body []byte, headers []string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req, nil
}

// exchange sends a request and reads the whole answer.
func (c Client) exchange(req *http.Request) (*http.Response, []byte, error) {
	base := c.base
	if base == "" {
		base = req.URL.Scheme + "://" + req.URL.Host
	}
	res, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		return nil, nil, &Unreachable{Base: base, Sent: !errors.As(err, &op) || op.Op != "dial", err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, &Unreachable{Base: base, Sent: true, err: err}
	case len(b) > maxAnswer:
		return nil, nil, fmt.Errorf("%s %s: the answer is larger than %d bytes", req.Method, req.URL.Path, maxAnswer)
	}
	return res, b, nil
}
