// Package gateway is the client of the card gateway's HTTP API.
//
// It guarantees that an answer it returns is the gateway's own. When none arrives
// (timeout, cut connection, 5xx), when it concerns everybody and not this request (401,
// 403, 429), or when it cannot be read (no JSON, an unusable id), the outcome is unknown,
// so it asks once by key; when that gives no decision either, the error has kind
// errs.Transient and the caller tries again under the same key. What was not answered is
// never taken as not done, and a decline is an answer, not an error.
//
// A charge that the gateway refuses without recording anything (400 and the like) is a
// decline only once its key is closed by a void, because an earlier request under that
// key may have taken the money, or may still be on its way.
//
// Every operation is named by an idempotency key (draft-ietf-httpapi-idempotency-key-
// header), so asking again moves money no second time. Other errors are of kind
// errs.Internal: an answer that is against the API, such as a key that was used for
// another request, which repeating does not mend.
//
// Each operation, with all the requests it makes, is one call through the circuit
// breaker: one whose answer was lost and then found by key is a success, one that ends
// Transient is a fault. What the breaker refuses is Transient as well, was not sent, and
// says by errs.RetryAfter when to come again.
//
// Texts of the gateway are made fit for columns and events where they are read: words
// are tidied (Tidy), ids and currencies that do not look like one are not believed.
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

// DefaultTimeout bounds one request. Captures take well below a second; what takes
// longer than this is better asked about by key than waited for.
const DefaultTimeout = 2 * time.Second

// reasonRefused is the void's reason when a key is closed because the gateway refused
// the charge.
const reasonRefused = "charge_refused"

// Outcome is what the gateway says about a key.
type Outcome string

// The outcomes. Charge answers the first three, Void as well, Refund the last.
const (
	Captured Outcome = "captured" // the money was taken
	Declined Outcome = "declined" // nothing was taken and under this key nothing will be
	Voided   Outcome = "voided"   // the key was stopped: nothing was taken and nothing will be
	Refunded Outcome = "refunded" // the money is back
)

// Answer is the gateway's decision about one key. The zero Answer means that the
// gateway was not asked.
type Answer struct {
	Outcome     Outcome
	ChargeID    string
	Amount      int64  // minor units: captured, or refunded
	Currency    string // ISO 4217
	DeclineCode string // of Declined, such as "insufficient_funds"
	Detail      string // for people
	RefundID    string // of Refunded
}

// ChargeRequest is money to take. One key must always carry the same request.
type ChargeRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Amount     int64  `json:"amount"` // minor units
	Currency   string `json:"currency"`
}

// VoidRequest tells whose key is stopped, in case the gateway has never seen it.
type VoidRequest struct {
	OrderID    string `json:"orderId"`
	CustomerID string `json:"customerId"`
	Reason     string `json:"reason"`
}

// RefundRequest is money to give back. One key must always carry the same request.
type RefundRequest struct {
	ChargeKey string `json:"chargeKey"`
	Amount    int64  `json:"amount"` // minor units
	Reason    string `json:"reason"`
}

// Client calls one gateway. New creates it; it may be used by several goroutines.
type Client struct {
	base    string
	timeout time.Duration
	breaker *breaker.Breaker
	http    *http.Client
}

// New returns a client for the gateway at baseURL. timeout bounds one request, from
// dialling to the last byte of the answer; an operation makes at most two, a refused
// charge three. All operations go through the breaker b.
func New(baseURL string, timeout time.Duration, b *breaker.Breaker) *Client {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Client{
		base:    strings.TrimRight(baseURL, "/"),
		timeout: timeout,
		breaker: b,
		http: &http.Client{Transport: &http.Transport{
			// The consumer and the worker make up to 16 calls at once each.
			MaxIdleConnsPerHost: 32,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// Charge takes money under key: Captured, Declined or Voided.
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
		return Answer{}, reply.unexpected(what) // a fault of ours
	case reply.status >= http.StatusBadRequest:
		return c.closeKey(ctx, what, key, req, reply)
	}
	// No status of the API, such as a redirect: somebody else may have answered.
	return c.settle(ctx, what, key, noAnswer{reply.unexpected(what)})
}

// closeKey answers a charge that the gateway refused without recording anything. For the
// order that is a decline, because repeating it for ever would hold up all others. But
// it says nothing about earlier requests under the key: one may have taken the money,
// and one may still arrive, which a lookup would not see. So the key is voided first.
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

// Void stops key for good unless it took money: Voided, Declined or Captured.
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

// Refund gives back a charge, all of it: Refunded. A charge that was refunded in full by
// other means counts as refunded too, with key in place of the refund's id. One that was
// refunded in part does not: the error has kind errs.Internal and a person has to look.
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
	// Lost, of another amount, or refunded by other means: the charge tells how much of it
	// went back.
	charge, lookupErr := c.lookup(ctx, req.ChargeKey)
	if lookupErr == nil && charge.Status == string(Captured) && charge.Refunded >= req.Amount && isCurrency(charge.Currency) {
		return Answer{Outcome: Refunded, RefundID: key, Amount: req.Amount, Currency: charge.Currency}, nil
	}
	if isUnknown(err) {
		return Answer{}, unknown(what, err, lookupErr)
	}
	return Answer{}, err
}

// settle asks by key what became of a request that got no answer. A key the gateway
// does not know is no decision: the request may still be on its way.
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

// settled is the answer that came with a charge; one that cannot be believed is asked
// for by key, like one that did not come.
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

// isUnknown tells whether err leaves open whether the request was carried out.
func isUnknown(err error) bool {
	_, ok := errors.AsType[noAnswer](err)
	return ok
}
