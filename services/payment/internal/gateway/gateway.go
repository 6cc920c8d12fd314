// Package gateway is the client of the card gateway's HTTP API.
//
// It guarantees that every answer it returns is the gateway's own. The outcome is unknown in three
// cases: no answer arrives (timeout, cut connection, 5xx), the answer does not concern this request
// (such as 401, 403 or 429), or the answer cannot be read (no JSON, an unusable id). The client
// then looks the charge up by its key. When the lookup does not decide either, the error has kind
// errs.Transient and the caller tries again with the same key. The client never assumes that an
// unanswered request was not carried out. A decline is an answer, not an error.
//
// A charge that the gateway refuses without a record (400 and other 4xx) is a decline only after a
// void has closed its key. An earlier request with that key may have taken the money, or may still
// arrive.
//
// Every operation has an idempotency key (draft-ietf-httpapi-idempotency-key-header), so a repeated
// request never moves money twice. Other errors have kind errs.Internal: an answer that violates
// the API, such as one that the key was used for another request. A repetition does not help there.
//
// Each operation, with all its requests, is one call through the circuit breaker. An operation
// whose answer was lost and then found by key is a success. An operation that ends Transient is a
// failure. A call that the breaker refuses is Transient too and was not sent; errs.RetryAfter
// returns the time to wait.
//
// A request carries the traceparent of its context, if there is one, so that the gateway's work
// belongs to the trace of the step that it serves.
//
// The client checks and cleans the gateway's texts when it reads them, so that columns and events
// can hold them. It tidies free text ([Tidy]). It does not accept ids and currencies of the wrong
// form.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
)

// DefaultTimeout bounds one request. Captures take well below a second. After that time a lookup by
// key is better than more waiting.
const DefaultTimeout = 2 * time.Second

// reasonRefused is the reason of the void that closes a key after the gateway refused the charge.
const reasonRefused = "charge_refused"

// Outcome is the gateway's decision about a key.
type Outcome string

// The outcomes. Charge and Void return the first three. Refund returns the last.
const (
	Captured Outcome = "captured" // the money was taken
	Declined Outcome = "declined" // nothing was taken and nothing will be taken with this key
	Voided   Outcome = "voided"   // the key is closed: nothing was taken and nothing will be taken
	Refunded Outcome = "refunded" // the money is returned
)

// Answer is the gateway's decision about one key. The zero Answer means that the gateway was not
// called.
type Answer struct {
	Outcome     Outcome
	ChargeID    string
	Amount      int64  // minor units: captured, or refunded
	Currency    string // ISO 4217
	DeclineCode string // set for Declined, such as "insufficient_funds"
	Detail      string // for human readers
	RefundID    string // set for Refunded
}

// ChargeRequest is money to take. One key must always carry the same request. The amount uses its
// old name, because a gateway of the previous release does not know amountMinor and would refuse
// the request. The next release can change that.
type ChargeRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Amount     int64  `json:"amount"` // minor units
	Currency   string `json:"currency"`
}

// VoidRequest names the owner of the key, in case the gateway has never seen it.
type VoidRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Reason     string `json:"reason"`
}

// RefundRequest is money to return. One key must always carry the same request.
type RefundRequest struct {
	ChargeKey string `json:"chargeKey"`
	Amount    int64  `json:"amount"` // minor units
	Reason    string `json:"reason"`
}

// Client calls one gateway. [New] creates it. It is safe for concurrent use.
type Client struct {
	base    string
	timeout time.Duration
	breaker *breaker.Breaker
	http    *http.Client
}

// New returns a client for the gateway at baseURL. timeout bounds one request, from dialling to the
// last byte of the answer. An operation makes at most two requests, and a refused charge three. All
// operations go through the breaker b.
func New(baseURL string, timeout time.Duration, b *breaker.Breaker) *Client {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Client{
		base:    strings.TrimRight(baseURL, "/"),
		timeout: timeout,
		breaker: b,
		http: &http.Client{Transport: &http.Transport{
			// The consumer and the worker make up to 16 concurrent calls each.
			MaxIdleConnsPerHost: 32,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// Charge takes money with key. The outcome is Captured, Declined or Voided.
func (c *Client) Charge(ctx context.Context, key string, req ChargeRequest) (Answer, error) {
	what := "charge " + key
	return c.guarded(ctx, what, func(ctx context.Context) (Answer, error) {
		answer, err := c.charge(ctx, what, key, req)
		if err == nil && answer.Outcome == Captured && (answer.Amount != req.Amount || answer.Currency != req.Currency) {
			return Answer{}, errs.New(errs.Internal, "%s: asked for %d %s, the gateway captured %d %s",
				what, req.Amount, req.Currency, answer.Amount, answer.Currency)
		}
		return answer, err
	})
}

func (c *Client) charge(ctx context.Context, what, key string, req ChargeRequest) (Answer, error) {
	reply, err := c.post(ctx, "/v1/charges", key, req)
	if err != nil {
		return c.settle(ctx, what, key, err)
	}
	switch {
	case reply.status == http.StatusOK || reply.status == http.StatusCreated:
		return c.settled(ctx, what, key, reply.charge)
	case reply.status == http.StatusConflict && reply.code == "voided":
		return Answer{Outcome: Voided}, nil
	case reply.status == http.StatusUnprocessableEntity && reply.code == "idempotency_key_reused":
		return Answer{}, reply.unexpected(what) // a mistake of this service
	case reply.status >= http.StatusBadRequest:
		return c.closeKey(ctx, what, key, req, reply)
	}
	// The API has no such status (a redirect, for example), so another server may have answered.
	return c.settle(ctx, what, key, noAnswer{reply.unexpected(what)})
}

// closeKey returns the answer to a charge that the gateway refused without a record. For the order
// this is a decline, because endless repetitions would delay all other orders. But the refusal does
// not cover earlier requests with the key. One may have taken the money, and one may still arrive,
// which a lookup would not show. So closeKey voids the key first.
func (c *Client) closeKey(ctx context.Context, what, key string, req ChargeRequest, refusal reply) (Answer, error) {
	answer, err := c.void(ctx, "void "+key, key, VoidRequest{OrderID: req.OrderID, CustomerID: req.CustomerID, Reason: reasonRefused})
	if err != nil {
		return Answer{}, errs.New(errs.Transient, "%s: the gateway answered %d %s, and whether the key holds money is unknown: %w",
			what, refusal.status, refusal.code, err)
	}
	if answer.Outcome == Captured {
		return answer, nil
	}
	code := refusal.code
	if code == "" {
		code = fmt.Sprintf("http_%d", refusal.status)
	}
	return Answer{Outcome: Declined, DeclineCode: code, Detail: refusal.detail}, nil
}

// Void closes key unless it took money. The outcome is Voided, Declined or Captured.
func (c *Client) Void(ctx context.Context, key string, req VoidRequest) (Answer, error) {
	what := "void " + key
	return c.guarded(ctx, what, func(ctx context.Context) (Answer, error) { return c.void(ctx, what, key, req) })
}

func (c *Client) void(ctx context.Context, what, key string, req VoidRequest) (Answer, error) {
	reply, err := c.post(ctx, "/v1/charges/"+url.PathEscape(key)+"/void", "", req)
	if err != nil {
		return c.settle(ctx, what, key, err)
	}
	switch {
	case reply.status == http.StatusOK && reply.charge.Status != string(Captured),
		reply.status == http.StatusConflict && reply.code == "captured":
		return c.settled(ctx, what, key, reply.charge)
	}
	return Answer{}, reply.unexpected(what)
}

// Refund refunds a charge in full. The outcome is Refunded. A charge that was refunded in full by
// other means counts as Refunded too, with key as the refund's id. A partial refund does not: the
// error has kind errs.Internal, and a person has to look at it.
func (c *Client) Refund(ctx context.Context, key string, req RefundRequest) (Answer, error) {
	what := "refund " + key
	return c.guarded(ctx, what, func(ctx context.Context) (Answer, error) { return c.refund(ctx, what, key, req) })
}

func (c *Client) refund(ctx context.Context, what, key string, req RefundRequest) (Answer, error) {
	reply, err := c.post(ctx, "/v1/refunds", key, req)
	switch {
	case err != nil:
	case reply.status == http.StatusOK || reply.status == http.StatusCreated:
		if err = reply.refund.check(what, req.Amount); err == nil {
			return Answer{Outcome: Refunded, RefundID: reply.refund.RefundID, Amount: req.Amount, Currency: reply.refund.Currency}, nil
		}
	case reply.status == http.StatusConflict && reply.code == "over_refund":
		err = reply.unexpected(what)
	default:
		return Answer{}, reply.unexpected(what)
	}
	// The answer was lost, has another amount, or the refund was made by other means. The charge
	// shows how much was refunded.
	charge, lookupErr := c.lookup(ctx, req.ChargeKey)
	if lookupErr == nil && charge.Status == string(Captured) && charge.Refunded >= req.Amount && isCurrency(charge.Currency) {
		return Answer{Outcome: Refunded, RefundID: key, Amount: req.Amount, Currency: charge.Currency}, nil
	}
	if isUnknown(err) {
		return Answer{}, unknown(what, err, lookupErr)
	}
	return Answer{}, err
}

// settle looks up by key the outcome of a request that got no answer. An unknown key is no
// decision, because the request may still arrive.
func (c *Client) settle(ctx context.Context, what, key string, cause error) (Answer, error) {
	if !isUnknown(cause) {
		return Answer{}, fmt.Errorf("%s: %w", what, cause)
	}
	charge, err := c.lookup(ctx, key)
	if err != nil {
		return Answer{}, unknown(what, cause, err)
	}
	answer, err := charge.answer()
	if err != nil {
		return Answer{}, unknown(what, cause, err)
	}
	return answer, nil
}

// settled returns the answer in a charge. When the charge is not usable, settled looks it up by
// key, as after a lost answer.
func (c *Client) settled(ctx context.Context, what, key string, charge charge) (Answer, error) {
	answer, err := charge.answer()
	if err != nil {
		return c.settle(ctx, what, key, err)
	}
	return answer, nil
}

func unknown(what string, cause, lookup error) error {
	if lookup != nil {
		cause = fmt.Errorf("%w; and asking by key: %w", cause, lookup)
	}
	return errs.New(errs.Transient, "%s, outcome unknown: %w", what, cause)
}

// isUnknown reports whether err leaves open whether the gateway carried out the request.
func isUnknown(err error) bool {
	_, ok := errors.AsType[noAnswer](err)
	return ok
}
