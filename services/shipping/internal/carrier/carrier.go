// Package carrier is the client of the parcel carrier's HTTP API.
//
// It guarantees that a decision it returns is the carrier's own: when an answer does not
// arrive (timeout, cut connection, 5xx) the outcome is unknown, so it asks by key; when
// that gives no decision either, the error has kind errs.Transient and the caller tries
// the same key again. It never assumes that what was not answered was not done. A
// refusal is an answer and not an error.
//
// Each operation, with all the requests it makes, is one call through a circuit breaker:
// one whose answer was lost and then found by key is a success, one that ends Transient
// is a fault. What a breaker refuses is Transient as well, was not sent, and says by
// errs.RetryAfter when to come again.
//
// Every operation is named by an idempotency key, so trying again ships no second
// parcel. Other errors: errs.Internal for an answer that is against the API (a fault of
// one of the two programs, which repeating does not mend).
package carrier

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

	"eventshop.example/pkg/errs"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 4 << 20

// Client calls one carrier. New creates it; it may be used by several goroutines.
type Client struct {
	base     string
	timeout  time.Duration
	breakers Breakers
	http     *http.Client
}

// New returns a client for the carrier at baseURL. timeout bounds one request, from
// dialling to the last byte of the answer; an operation makes at most two, a refused
// Schedule four.
func New(baseURL string, timeout time.Duration, b Breakers) *Client {
	return &Client{
		base:     strings.TrimRight(baseURL, "/"),
		timeout:  timeout,
		breakers: b,
		http: &http.Client{Transport: &http.Transport{
			// The consumer makes this many calls at once.
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// Address is where a parcel goes.
type Address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"country"`
}

// Item is a quantity, in pieces, of one SKU.
type Item struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Request is a parcel to ship. The same key must always carry the same request.
type Request struct {
	OrderID    string  `json:"orderId"`
	CustomerID string  `json:"customerId"`
	Address    Address `json:"address"`
	Items      []Item  `json:"items"`
}

// Outcome is what the carrier decided.
type Outcome string

// The outcomes. Accepted, Refused and Stopped answer Schedule; Cancelled and Departed
// answer Cancel.
const (
	Accepted  Outcome = "accepted"  // the parcel is on the carrier's list, or already under way
	Refused   Outcome = "refused"   // the carrier does not take it, for good; Code says why
	Stopped   Outcome = "stopped"   // the key was cancelled before
	Cancelled Outcome = "cancelled" // nothing will leave under this key
	Departed  Outcome = "departed"  // too late, the parcel has left
)

// Answer is the carrier's decision about one key. The zero Answer means that the carrier
// was not asked.
type Answer struct {
	Outcome      Outcome
	ShipmentID   string
	TrackingID   string
	Carrier      string
	Code         string    // of a refusal, such as "address_not_served"
	Detail       string    // for humans
	DispatchedAt time.Time // zero when the parcel has not left
}

// shipment is the carrier's picture of a key, and of an error.
type shipment struct {
	ShipmentID   string    `json:"shipmentId"`
	TrackingID   string    `json:"trackingId"`
	Carrier      string    `json:"carrier"`
	Status       string    `json:"status"`
	Code         string    `json:"code"`
	Detail       string    `json:"detail"`
	DispatchedAt time.Time `json:"dispatchedAt"`
	Shipment     *shipment `json:"shipment"`
}

func (s shipment) answer(o Outcome) Answer {
	return Answer{
		Outcome: o, ShipmentID: s.ShipmentID, TrackingID: s.TrackingID, Carrier: s.Carrier,
		Code: s.Code, Detail: s.Detail, DispatchedAt: s.DispatchedAt,
	}
}

// Schedule asks the carrier to ship a parcel under key.
func (c *Client) Schedule(ctx context.Context, key string, req Request) (Answer, error) {
	return guarded(ctx, c.breakers.Parcels, "schedule shipment "+key, func(ctx context.Context) (Answer, error) {
		return c.schedule(ctx, key, req)
	})
}

func (c *Client) schedule(ctx context.Context, key string, req Request) (Answer, error) {
	status, s, err := c.post(ctx, "/v1/shipments", key, req)
	if unknown(status, err) {
		return c.settle(ctx, key, "schedule", err, scheduleOutcomes)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("schedule shipment %s: %w", key, err)
	}
	switch {
	case status == http.StatusOK || status == http.StatusCreated:
		return s.answer(Accepted), nil
	case status == http.StatusConflict && s.Code == "cancelled":
		return s.answer(Stopped), nil
	case status == http.StatusUnprocessableEntity && s.Code == "idempotency_key_reused":
		return Answer{}, errs.New(errs.Internal, "schedule shipment %s: the key went out with another request: %s", key, s.Detail)
	case status == http.StatusUnprocessableEntity || status == http.StatusBadRequest:
		return c.closeKey(ctx, key, req, status, s)
	}
	return Answer{}, errs.New(errs.Internal, "schedule shipment %s: the carrier answered %d %s %s", key, status, s.Code, s.Detail)
}

// closeKey answers a refusal. One that the carrier has on record under the key is its
// decision. Any other, such as that of a request of the wrong form, does not get better
// by repeating it and has to end the order; but an earlier try may have put the parcel on
// the list, and one may still arrive, which a lookup would not see. So what is known of
// the key comes first, and a key that nothing is known of is cancelled.
func (c *Client) closeKey(ctx context.Context, key string, req Request, status int, refusal shipment) (Answer, error) {
	undecided := func(cause error) (Answer, error) {
		return Answer{}, errs.New(errs.Transient, "schedule shipment %s: the carrier answered %d %s, and what it has under the key is unknown: %w",
			key, status, refusal.Code, cause)
	}
	if refusal.Code == "" {
		refusal.Code = fmt.Sprintf("http_%d", status)
	}
	found, known, err := c.lookup(ctx, key)
	if err != nil {
		return undecided(err)
	}
	if outcome, decided := scheduleOutcomes[found.Status]; decided {
		return found.refusedAs(outcome, refusal), nil
	}
	if known {
		return undecided(fmt.Errorf("it says %q", found.Status))
	}
	closed, err := c.cancel(ctx, key, req.OrderID, req.CustomerID)
	if err != nil {
		return undecided(err)
	}
	if closed.Outcome == Departed {
		closed.Outcome = Accepted
		return closed, nil
	}
	return Answer{Outcome: Refused, Code: refusal.Code, Detail: refusal.Detail}, nil
}

// refusedAs is the answer of a key on record; a refusal's words are those of the answer
// where the record has none.
func (s shipment) refusedAs(o Outcome, refusal shipment) Answer {
	if o == Refused {
		if s.Code == "" {
			s.Code = refusal.Code
		}
		if s.Detail == "" && s.Code == refusal.Code {
			s.Detail = refusal.Detail
		}
	}
	return s.answer(o)
}

// lookup asks what the carrier has under key; known is false when it has nothing.
func (c *Client) lookup(ctx context.Context, key string) (found shipment, known bool, err error) {
	status, s, err := c.do(ctx, http.MethodGet, "/v1/shipments/"+url.PathEscape(key), "", nil)
	switch {
	case err != nil:
		return shipment{}, false, fmt.Errorf("asking by key: %w", err)
	case status == http.StatusOK:
		return s, true, nil
	case status == http.StatusNotFound:
		return shipment{}, false, nil
	}
	return shipment{}, false, fmt.Errorf("asking by key: the carrier answered %d %s", status, s.Code)
}

// Cancel asks the carrier to ship nothing under key, now or later. orderID and
// customerID tell the carrier whose key it is when it has never seen it.
func (c *Client) Cancel(ctx context.Context, key, orderID, customerID string) (Answer, error) {
	return guarded(ctx, c.breakers.Parcels, "cancel shipment "+key, func(ctx context.Context) (Answer, error) {
		return c.cancel(ctx, key, orderID, customerID)
	})
}

func (c *Client) cancel(ctx context.Context, key, orderID, customerID string) (Answer, error) {
	body := map[string]string{"orderId": orderID, "customerId": customerID}
	status, s, err := c.post(ctx, "/v1/shipments/"+url.PathEscape(key)+"/cancel", "", body)
	if unknown(status, err) {
		return c.settle(ctx, key, "cancel", err, cancelOutcomes)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("cancel shipment %s: %w", key, err)
	}
	switch {
	case status == http.StatusOK:
		return s.answer(Cancelled), nil
	case status == http.StatusConflict && s.Shipment != nil && (s.Code == "dispatched" || s.Code == "delivered"):
		return s.Shipment.answer(Departed), nil
	}
	return Answer{}, errs.New(errs.Internal, "cancel shipment %s: the carrier answered %d %s %s", key, status, s.Code, s.Detail)
}

// scheduleOutcomes and cancelOutcomes read a key's status as the answer that got lost. A
// status that is missing is no decision yet: the request may still be on its way.
var (
	scheduleOutcomes = map[string]Outcome{
		"scheduled": Accepted, "dispatched": Accepted, "delivered": Accepted, "refused": Refused, "cancelled": Stopped,
	}
	cancelOutcomes = map[string]Outcome{
		"cancelled": Cancelled, "refused": Cancelled, "dispatched": Departed, "delivered": Departed,
	}
)

// settle finds out what became of a request that got no answer. A key that the carrier
// does not know is no decision: the request may still be on its way.
func (c *Client) settle(ctx context.Context, key, what string, cause error, outcomes map[string]Outcome) (Answer, error) {
	found, _, err := c.lookup(ctx, key)
	if outcome, decided := outcomes[found.Status]; err == nil && decided {
		return found.answer(outcome), nil
	}
	if cause == nil {
		cause = fmt.Errorf("the carrier is in trouble")
	}
	if err != nil {
		cause = fmt.Errorf("%w; and %w", cause, err)
	}
	return Answer{}, errs.New(errs.Transient, "%s shipment %s, outcome unknown: %w", what, key, cause)
}

func (c *Client) post(ctx context.Context, path, key string, body any) (int, shipment, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, shipment{}, errs.Wrap(errs.Internal, err, "encode request")
	}
	return c.do(ctx, http.MethodPost, path, key, raw)
}

func (c *Client) do(ctx context.Context, method, path, key string, body []byte) (int, shipment, error) {
	var s shipment
	status, err := c.request(ctx, method, path, key, body, &s)
	s.clean()
	return status, s, err
}

// noAnswer is a request of which nobody knows what became.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// request returns a noAnswer error when none arrived, in time and whole.
func (c *Client) request(ctx context.Context, method, path, key string, body []byte, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, errs.Wrap(errs.Internal, err, "make request")
	}
	// net/http repeats a request with a key by itself when a kept connection breaks.
	// Repeating is this package's and its caller's business, where it is counted and
	// backs off.
	req.GetBody = nil
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, noAnswer{err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, noAnswer{err}
	}
	// An error's status says enough; what stands between may have put a page of its own in
	// place of the carrier's words.
	if err := json.Unmarshal(raw, into); err != nil && res.StatusCode < http.StatusBadRequest {
		return res.StatusCode, errs.New(errs.Internal, "answer %d is no JSON of the carrier's API: %w", res.StatusCode, err)
	}
	return res.StatusCode, nil
}

// unknown reports whether the request may or may not have been carried out: no answer,
// or one that says nothing about it. Being let in and being served in time concern all
// requests, not this one.
func unknown(status int, err error) bool {
	var none noAnswer
	if errors.As(err, &none) {
		return true
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}
