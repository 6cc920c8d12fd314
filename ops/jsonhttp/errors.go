package jsonhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"eventshop.example/ops/quote"
)

// Problem is an answer outside 2xx: problem details (RFC 9457), or another JSON object whose member
// "message" says what is wrong.
type Problem struct {
	Status int     `json:"status"` // of HTTP
	Title  string  `json:"title"`
	Detail string  `json:"detail"`
	Errors []Fault `json:"errors"`
}

// Fault is one invalid part of a request.
type Fault struct {
	Field  string `json:"field"` // "" if the fault concerns no particular field
	Detail string `json:"detail"`
}

// problemOf returns the error of an answer outside 2xx. If the body says nothing, the error says
// what was asked.
func problemOf(req *http.Request, res *http.Response, body []byte) *Problem {
	p := struct {
		Problem
		Message string `json:"message"`
	}{}
	if json.Unmarshal(body, &p) != nil {
		p.Problem = Problem{Detail: fmt.Sprintf("%s %s: %s", req.Method, req.URL.Path, res.Status)}
	}
	if p.Detail == "" && p.Title == "" {
		p.Detail = p.Message
	}
	p.Status = res.StatusCode
	return &p.Problem
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
		if !strings.Contains(text, f.Detail) { // the detail often contains it already
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 {
		text += ": " + strings.Join(faults, "; ")
	}
	return quote.Full(text) // it may quote a record
}

// StatusOf returns the HTTP status of a *[Problem], or 0 for other errors.
func StatusOf(err error) int {
	var p *Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// Unreachable reports that a request got no answer.
type Unreachable struct {
	Base string
	Sent bool // the request may have been received and carried out
	err  error
}

func (u *Unreachable) Error() string {
	err := u.Cause()
	if errors.Is(err, context.DeadlineExceeded) {
		return u.Base + " does not answer"
	}
	return fmt.Sprintf("%s: %v", u.Base, err)
}

// Cause returns what went wrong, without the method, URL and address that net/http adds.
func (u *Unreachable) Cause() error {
	err := u.err
	var wrapped *url.Error // its text repeats method and URL
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var op *net.OpError // its text repeats the address
	if errors.As(err, &op) {
		err = op.Err
	}
	return err
}

func (u *Unreachable) Unwrap() error { return u.err }
