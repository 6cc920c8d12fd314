package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/telemetry"
)

// maxAnswer bounds the bytes read of one answer. A real answer is below 1 KiB.
const maxAnswer = 64 << 10

// charge is the gateway's record of a key.
type charge struct {
	ChargeID    string
	Status      string
	DeclineCode string
	Amount      int64 // minor units
	Currency    string
	Refunded    int64 // minor units
}

// wireCharge is a charge in an answer.
type wireCharge struct {
	ChargeID    string `json:"chargeId"`
	Status      string `json:"status"`
	DeclineCode string `json:"declineCode"`
	Currency    string `json:"currency"`

	AmountMinor   *int64          `json:"amountMinor"`
	RefundedMinor *int64          `json:"refundedMinor"`
	Amount        json.RawMessage `json:"amount"`
	Refunded      json.RawMessage `json:"refunded"`
}

// read takes the amounts from amountMinor and refundedMinor. A gateway of the previous release does
// not send those. read then takes them from the old names amount and refunded, which are in minor
// units too.
func (w wireCharge) read() (charge, error) {
	c := charge{ChargeID: w.ChargeID, Status: w.Status, DeclineCode: w.DeclineCode, Currency: w.Currency}
	var err error
	if c.Amount, err = minorUnits(w.AmountMinor, w.Amount); err != nil {
		return c, fmt.Errorf("amount: %w", err)
	}
	if c.Refunded, err = minorUnits(w.RefundedMinor, w.Refunded); err != nil {
		return c, fmt.Errorf("refunded: %w", err)
	}
	return c, nil
}

// minorUnits returns 0 for a missing amount. It refuses a decimal under the old name, because a
// decimal is no amount in minor units.
func minorUnits(named *int64, old json.RawMessage) (minor int64, err error) {
	switch {
	case named != nil:
		return *named, nil
	case len(old) > 0:
		err = json.Unmarshal(old, &minor)
	}
	return minor, err
}

// answer translates a charge. Its error is a noAnswer: the API does not have the status, or a
// capture has an unusable id, amount or currency.
func (c charge) answer() (Answer, error) {
	a := Answer{Outcome: Outcome(c.Status), ChargeID: c.ChargeID, Amount: c.Amount, Currency: c.Currency, DeclineCode: c.DeclineCode}
	switch a.Outcome {
	case Captured:
		if !isID(c.ChargeID) || c.Amount <= 0 || !isCurrency(c.Currency) {
			return Answer{}, noAnswer{fmt.Errorf("the gateway reports a capture with unusable id %q, amount %d or currency %q",
				Tidy(c.ChargeID), c.Amount, Tidy(c.Currency))}
		}
		return a, nil
	case Declined, Voided:
		if !isID(a.ChargeID) {
			a.ChargeID = "" // no later step needs it
		}
		if !isCurrency(a.Currency) {
			a.Currency = ""
		}
		return a, nil
	}
	return Answer{}, noAnswer{fmt.Errorf("the gateway reports status %q", Tidy(c.Status))}
}

type refund struct {
	RefundID string
	Status   string
	Amount   int64 // minor units
	Currency string
}

// check returns a noAnswer when the refund is not usable, and an errs.Internal when its amount
// differs from the requested amount.
func (r refund) check(what string, amount int64) error {
	switch {
	case !isID(r.RefundID) || r.Status != string(Refunded) || r.Amount <= 0 || !isCurrency(r.Currency):
		return noAnswer{fmt.Errorf("the gateway reports a refund with unusable id %q, status %q, amount %d or currency %q",
			Tidy(r.RefundID), Tidy(r.Status), r.Amount, Tidy(r.Currency))}
	case r.Amount != amount:
		return errs.New(errs.Internal, "%s: asked for %d, the gateway gave back %d %s", what, amount, r.Amount, r.Currency)
	}
	return nil
}

// reply is an HTTP answer that arrived completely and is no server error.
type reply struct {
	status       int
	code, detail string // set for a refusal
	charge       charge
	refund       refund
}

func (r reply) unexpected(what string) error {
	return errs.New(errs.Internal, "%s: the gateway answered %d %s %s", what, r.status, r.code, r.detail)
}

// noAnswer is the error of a request whose outcome is unknown.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// lookup requests the charge of a key. Its error is a noAnswer, or reports that the gateway did not
// return a charge, such as for an unknown key.
func (c *Client) lookup(ctx context.Context, key string) (charge, error) {
	r, err := c.do(ctx, http.MethodGet, "/v1/charges/"+url.PathEscape(key), "", nil)
	if err != nil {
		return charge{}, err
	}
	if r.status != http.StatusOK {
		return charge{}, fmt.Errorf("the gateway answered %d %s", r.status, r.code)
	}
	return r.charge, nil
}

func (c *Client) post(ctx context.Context, path, key string, body any) (reply, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return reply{}, errs.Wrap(errs.Internal, err, "encode request")
	}
	return c.do(ctx, http.MethodPost, path, key, raw)
}

// do makes one request. It returns a noAnswer error when no complete answer arrived in time, or
// when the answer does not concern the request.
func (c *Client) do(ctx context.Context, method, path, key string, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, errs.Wrap(errs.Internal, err, "make request")
	}
	// net/http itself repeats a request with an idempotency key when a kept connection breaks. The
	// caller has to repeat it instead, because the caller counts repetitions and backs off.
	req.GetBody = nil
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if parent, _ := telemetry.Trace(ctx); parent != "" { // the gateway's work is a child of the caller's
		req.Header.Set("Traceparent", parent)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return reply{}, noAnswer{err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return reply{}, noAnswer{fmt.Errorf("read answer %d: %w", res.StatusCode, err)}
	}
	if concernsEveryRequest(res.StatusCode) {
		return reply{}, noAnswer{fmt.Errorf("the gateway answered %d", res.StatusCode)}
	}
	return read(res.StatusCode, raw)
}

// concernsEveryRequest reports whether a status says nothing about the single request. The gateway is
// then in trouble, or it rejects the caller.
func concernsEveryRequest(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// read parses an answer. A conflict about a capture contains the charge. A refusal needs no valid
// body. Any other answer that is no JSON of the API may come from a proxy, so it is a noAnswer.
func read(status int, raw []byte) (reply, error) {
	var body struct {
		wireCharge
		RefundID string      `json:"refundId"`
		Code     string      `json:"code"`
		Detail   string      `json:"detail"`
		Charge   *wireCharge `json:"charge"`
	}
	err := json.Unmarshal(raw, &body)
	var answered charge
	if err == nil {
		answered, err = body.read()
	}
	if err != nil {
		if status >= http.StatusBadRequest {
			return reply{status: status, detail: "the refusal is no JSON of the gateway's API"}, nil
		}
		return reply{}, noAnswer{fmt.Errorf("answer %d is no JSON of the gateway's API: %w", status, err)}
	}
	r := reply{
		status: status, code: Tidy(body.Code), detail: Tidy(body.Detail), charge: answered,
		refund: refund{RefundID: body.RefundID, Status: body.Status, Amount: answered.Amount, Currency: body.Currency},
	}
	if body.Charge != nil {
		if r.charge, err = body.Charge.read(); err != nil {
			return reply{}, noAnswer{fmt.Errorf("answer %d has a charge that cannot be read: %w", status, err)}
		}
	}
	r.charge.DeclineCode = Tidy(r.charge.DeclineCode)
	return r, nil
}
