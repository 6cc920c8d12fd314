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

// answer translates a charge; a status it does not know is against the API.
func (c charge) answer(what string) (Answer, error) {
	a := Answer{Outcome: Outcome(c.Status), ChargeID: c.ChargeID, Amount: c.Amount, Currency: c.Currency, DeclineCode: c.DeclineCode}
	switch a.Outcome {
	case Captured:
		if c.ChargeID == "" || c.Amount <= 0 || c.Currency == "" {
			return Answer{}, errs.New(errs.Internal, "%s: the gateway reports a capture without id or amount", what)
		}
		return a, nil
	case Declined, Voided:
		return a, nil
	}
	return Answer{}, errs.New(errs.Internal, "%s: the gateway reports status %q", what, c.Status)
}

type refund struct {
	RefundID string `json:"refundId"`
	Status   string `json:"status"`
	Currency string `json:"currency"`
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
	switch {
	case res.StatusCode >= http.StatusInternalServerError,
		res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return reply{}, noAnswer{fmt.Errorf("the gateway answered %d", res.StatusCode)}
	}
	return read(res.StatusCode, raw)
}

// read takes an answer apart. A conflict over a capture carries the charge inside.
func read(status int, raw []byte) (reply, error) {
	var body struct {
		charge
		RefundID string  `json:"refundId"`
		Code     string  `json:"code"`
		Detail   string  `json:"detail"`
		Charge   *charge `json:"charge"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return reply{}, errs.New(errs.Internal, "answer %d is no JSON of the gateway's API: %w", status, err)
	}
	r := reply{
		status: status, code: body.Code, detail: body.Detail, charge: body.charge,
		refund: refund{RefundID: body.RefundID, Status: body.Status, Currency: body.Currency},
	}
	if body.Charge != nil {
		r.charge = *body.Charge
	}
	return r, nil
}
