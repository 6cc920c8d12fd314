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
)

// maxAnswer bounds what is read of an answer, in bytes; an answer is below 1 KiB.
const maxAnswer = 64 << 10

// charge is the gateway's picture of a key.
type charge struct {
	ChargeID    string `json:"chargeId"`
	Status      string `json:"status"`
	DeclineCode string `json:"declineCode"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Refunded    int64  `json:"refunded"`
}

// answer translates a charge. Its error is a noAnswer: a status that the API does not
// have, or a capture without an id or amount that could be kept.
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
			a.ChargeID = "" // nothing hangs on it
		}
		if !isCurrency(a.Currency) {
			a.Currency = ""
		}
		return a, nil
	}
	return Answer{}, noAnswer{fmt.Errorf("the gateway reports status %q", Tidy(c.Status))}
}

type refund struct {
	RefundID string `json:"refundId"`
	Status   string `json:"status"`
	Amount   int64  `json:"amount"` // minor units
	Currency string `json:"currency"`
}

// check says, with a noAnswer, what keeps the refund from being believed, and with an
// errs.Internal that it is of another amount than the one that was asked for.
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

// reply is an HTTP answer that arrived whole and is not a server's fault.
type reply struct {
	status       int
	code, detail string // of a refusal
	charge       charge
	refund       refund
}

func (r reply) unexpected(what string) error {
	return errs.New(errs.Internal, "%s: the gateway answered %d %s %s", what, r.status, r.code, r.detail)
}

// noAnswer is a request of which nobody knows what became.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// lookup asks for the charge of a key. Its error is noAnswer, or says that the key is
// not known.
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

// do makes one request. It returns a noAnswer error when no answer arrived in time and
// whole, or one that says nothing about the request.
func (c *Client) do(ctx context.Context, method, path, key string, body []byte) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, errs.Wrap(errs.Internal, err, "make request")
	}
	// net/http repeats a request with an idempotency key by itself when a kept
	// connection breaks. Repeating is the caller's business, where it is counted and
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
		return reply{}, noAnswer{err}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return reply{}, noAnswer{fmt.Errorf("read answer %d: %w", res.StatusCode, err)}
	}
	if concernsEverybody(res.StatusCode) {
		return reply{}, noAnswer{fmt.Errorf("the gateway answered %d", res.StatusCode)}
	}
	return read(res.StatusCode, raw)
}

// concernsEverybody tells of a status that says nothing about the request it answers:
// the gateway is not well, or does not know or like its caller.
func concernsEverybody(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return status >= http.StatusInternalServerError
}

// read takes an answer apart. A conflict over a capture carries the charge inside. A
// refusal needs no body to be one; any other answer that is no JSON of the API may come
// from somebody in between, and is none.
func read(status int, raw []byte) (reply, error) {
	var body struct {
		charge
		RefundID string  `json:"refundId"`
		Code     string  `json:"code"`
		Detail   string  `json:"detail"`
		Charge   *charge `json:"charge"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		if status >= http.StatusBadRequest {
			return reply{status: status, detail: "the refusal is no JSON of the gateway's API"}, nil
		}
		return reply{}, noAnswer{fmt.Errorf("answer %d is no JSON of the gateway's API: %w", status, err)}
	}
	r := reply{
		status: status, code: Tidy(body.Code), detail: Tidy(body.Detail), charge: body.charge,
		refund: refund{RefundID: body.RefundID, Status: body.Status, Amount: body.Amount, Currency: body.Currency},
	}
	if body.Charge != nil {
		r.charge = *body.Charge
	}
	r.charge.DeclineCode = Tidy(r.charge.DeclineCode)
	return r, nil
}
