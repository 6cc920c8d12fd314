package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"

	"eventshop.example/pkg/iso4217"
	"eventshop.example/sandbox/internal/wire"
)

// minorUnits is an amount in a request. Its name is amountMinor. amount is its old name and has the
// same meaning: 9999 means 99.99 GBP, before and after an upgrade of either side.
type minorUnits struct {
	AmountMinor *int64 `json:"amountMinor"`
	Amount      *int64 `json:"amount"`
}

// value returns the amount, or 0 when there is none. When the two names have different amounts, it
// has answered 400 and ok is false.
func (m minorUnits) value(w http.ResponseWriter) (minor int64, ok bool) {
	switch {
	case m.AmountMinor != nil && m.Amount != nil && *m.AmountMinor != *m.Amount:
		wire.Send(w, wire.Refuse(http.StatusBadRequest, "bad_request", "amountMinor and amount, its old name, differ"))
		return 0, false
	case m.AmountMinor != nil:
		return *m.AmountMinor, true
	case m.Amount != nil:
		return *m.Amount, true
	}
	return 0, true
}

// chargeView is a charge in an answer. It also has the amounts under their old names, because
// payment processes of the previous release read those.
type chargeView struct {
	Charge
	AmountMinor   int64 `json:"amountMinor"`
	RefundedMinor int64 `json:"refundedMinor"`
}

func viewCharge(c Charge) chargeView {
	return chargeView{Charge: c, AmountMinor: c.Amount, RefundedMinor: c.Refunded}
}

// refundView is a refund in an answer; see [chargeView].
type refundView struct {
	Refund
	AmountMinor int64 `json:"amountMinor"`
}

func viewRefund(r Refund) refundView { return refundView{Refund: r, AmountMinor: r.Amount} }

// entryView is a line of the ledger for auditors. It has the amount as a decimal, as every service
// shows it, and in minor units. A void moves no money and has neither.
type entryView struct {
	Entry
	Amount      json.Number `json:"amount,omitempty"`
	AmountMinor int64       `json:"amountMinor,omitempty"`
}

func viewEntries(entries []Entry) []entryView {
	views := make([]entryView, len(entries))
	for i, e := range entries {
		views[i] = entryView{Entry: e, AmountMinor: e.Amount}
		if e.Currency != "" {
			views[i].Amount = json.Number(iso4217.Decimal(strconv.FormatInt(e.Amount, 10), e.Currency))
		}
	}
	return views
}
