// Package carrier is the client of the parcel carrier's HTTP API.
//
// It guarantees that every decision it returns is the carrier's own. When no answer arrives
// (timeout, cut connection, 5xx), the outcome is unknown, and the client looks the shipment up by
// its key. When the lookup does not decide either, the error has kind errs.Transient and the caller
// tries again with the same key. The client never assumes that an unanswered request was not
// carried out. A refusal is an answer, not an error.
//
// Each operation, with all its requests, is one call through a circuit breaker. An operation whose
// answer was lost and then found by key is a success. An operation that ends Transient is a
// failure. A call that a breaker refuses is Transient too and was not sent; errs.RetryAfter returns
// the time to wait.
//
// Every operation has an idempotency key, so a repeated request never ships a second parcel. Other
// errors have kind errs.Internal: the answer violates the API, so one of the two programs is wrong.
// A repetition does not help there.
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
	"eventshop.example/pkg/telemetry"
)

// maxAnswer bounds the bytes read of one answer.
const maxAnswer = 4 << 20

// Client calls one carrier. [New] creates it. It is safe for concurrent use.
type Client struct {
	base     string
	timeout  time.Duration
	breakers Breakers
	http     *http.Client
}

// New returns a client for the carrier at baseURL. timeout bounds one request, from dialling to the
// last byte of the answer. An operation makes at most two requests, and a refused Schedule four.
func New(baseURL string, timeout time.Duration, b Breakers) *Client {
	return &Client{
		base:     strings.TrimRight(baseURL, "/"),
		timeout:  timeout,
		breakers: b,
		http: &http.Client{Transport: &http.Transport{
			// The consumer makes up to 16 concurrent calls.
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     time.Minute,
		}},
	}
}

// Address is the destination of a parcel.
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

// Request is a parcel to ship. One key must always carry the same request.
type Request struct {
	OrderID    string  `json:"orderId"`
	CustomerID string  `json:"customerId"`
	Address    Address `json:"address"`
	Items      []Item  `json:"items"`
}

// Outcome is the carrier's decision.
type Outcome string

// The outcomes. Schedule returns Accepted, Refused or Stopped. Cancel returns Cancelled or
// Departed.
const (
	Accepted  Outcome = "accepted"  // the parcel is on the carrier's list, or has already left
	Refused   Outcome = "refused"   // the carrier does not take the parcel, for good; Code is the reason
	Stopped   Outcome = "stopped"   // the key was cancelled before
	Cancelled Outcome = "cancelled" // nothing will leave with this key
	Departed  Outcome = "departed"  // too late, the parcel has left
)

// Answer is the carrier's decision about one key. The zero Answer means that the carrier was not
// called.
type Answer struct {
	Outcome      Outcome
	ShipmentID   string
	TrackingID   string
	Carrier      string
	Code         string    // set for a refusal, such as "address_not_served"
	Detail       string    // for human readers
	DispatchedAt time.Time // zero while the parcel has not left
}

// shipment is the carrier's record of a key, or the body of an error.
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

// Schedule requests the shipment of a parcel with key.
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

// closeKey returns the answer to a refusal. A refusal that the carrier has recorded for the key is
// its decision. Any other refusal, such as of a malformed request, has to end the order, because a
// repetition does not help. But an earlier request may have put the parcel on the list, and one may
// still arrive, which a lookup would not show. So closeKey first looks the key up, and cancels a
// key that the carrier does not know.
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

// refusedAs returns the answer for a recorded key. Where the record of a refusal has no code or
// detail, refusedAs takes them from the answer.
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

// lookup returns the carrier's record of key. known is false when there is none.
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

// Cancel requests that nothing is shipped with key, now or later. orderID and customerID name the
// owner of the key, in case the carrier has never seen it.
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

// scheduleOutcomes and cancelOutcomes translate the status of a key into the answer that was lost.
// A status that a map does not list is no decision yet, because the request may still arrive.
var (
	scheduleOutcomes = map[string]Outcome{
		"scheduled": Accepted, "dispatched": Accepted, "delivered": Accepted, "refused": Refused, "cancelled": Stopped,
	}
	cancelOutcomes = map[string]Outcome{
		"cancelled": Cancelled, "refused": Cancelled, "dispatched": Departed, "delivered": Departed,
	}
)

// settle looks up the outcome of a request that got no answer. An unknown key is no decision,
// because the request may still arrive.
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

// noAnswer is the error of a request whose outcome is unknown.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// request makes one request. It returns a noAnswer error when no complete answer arrived in time.
func (c *Client) request(ctx context.Context, method, path, key string, body []byte, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, errs.Wrap(errs.Internal, err, "make request")
	}
	// net/http itself repeats a request with a key when a kept connection breaks. This package and
	// its callers have to repeat it instead, because they count repetitions and back off.
	req.GetBody = nil
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if parent, _ := telemetry.Trace(ctx); parent != "" { // the carrier's work is a child of the caller's
		req.Header.Set("Traceparent", parent)
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
	// The status of an error is enough. A proxy may have replaced the carrier's body with its own.
	if err := json.Unmarshal(raw, into); err != nil && res.StatusCode < http.StatusBadRequest {
		return res.StatusCode, errs.New(errs.Internal, "answer %d is no JSON of the carrier's API: %w", res.StatusCode, err)
	}
	return res.StatusCode, nil
}

// unknown reports whether the outcome of the request is unknown: there was no answer, or one that
// says nothing about this request. The statuses for authentication, rate limits and timeouts
// concern all requests.
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
