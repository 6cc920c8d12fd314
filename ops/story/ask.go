package story

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/saga"
	"eventshop.example/pkg/httpapi"
)

const (
	// askWithin bounds one answer. A frozen process accepts connections and does not answer.
	askWithin = 5 * time.Second
	// chargeOf is the prefix of the payment service's name for an order's charge at the gateway.
	chargeOf = "charge-"
	// ledgerPage is the largest page of the gateway's ledger.
	ledgerPage = 10_000
)

// look asks the services about the order in parallel. known is false if the order service answers
// that there is no such order.
func (t *Reader) look(ctx context.Context, s *Story) (known bool, failed []error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	ask := func(what string, do func() error) {
		all.Go(func() {
			if err := do(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, fmt.Errorf("%s cannot be asked: %w", what, err))
			}
		})
	}
	known = true
	ask("order", func() (err error) {
		s.Order, err = one[Order](ctx, t, "order", "/orders/", s.OrderID)
		known = s.Order != nil || err != nil
		return err
	})
	ask("payment", func() (err error) {
		s.Money.Payment, err = one[Payment](ctx, t, "payment", "/payments/", s.OrderID)
		return err
	})
	ask("inventory", func() (err error) {
		s.Stock, err = one[Stock](ctx, t, "inventory", "/reservations/", s.OrderID)
		return err
	})
	ask("shipping", func() (err error) {
		s.Parcel, err = one[Parcel](ctx, t, "shipping", "/shipments/", s.OrderID)
		return err
	})
	ask("notification", func() (err error) {
		s.Mail, err = one[Mail](ctx, t, "notification", "/mails/", s.OrderID)
		return err
	})
	if t.src.URL[Orchestrator] != "" { // a shop of the release before has none
		ask(Orchestrator, func() (err error) {
			s.Saga, err = one[saga.Coordinated](ctx, t, Orchestrator, "/sagas/", s.OrderID)
			return err
		})
	}
	ask("gateway", func() (err error) {
		s.Money.Gateway, err = t.charge(ctx, s.OrderID)
		return err
	})
	all.Wait()
	return known, failed
}

func (t *Reader) at(service string) jsonhttp.Client { return jsonhttp.New(t.src.URL[service], nil) }

// one reads a service's part of the order. It returns nil if the service has none.
func one[T any](ctx context.Context, t *Reader, service, path, orderID string) (*T, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var part T
	err := t.at(service).Call(ctx, http.MethodGet, path+url.PathEscape(orderID), nil, nil, &part)
	switch {
	case jsonhttp.StatusOf(err) == http.StatusNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &part, nil
}

// entry is an entry of the gateway's ledger. Its integers are minor units. A gateway that also
// returns exact decimals has the integers under a name that ends in Minor.
type entry struct {
	Seq                                         int64
	ChargeKey, Key, Kind, Currency, DeclineCode string
	Amount, AmountMinor                         json.Number
}

// minor returns the integer of two fields: the one named for minor units, or otherwise the other.
func minor(named, other json.Number) int64 {
	if n, err := named.Int64(); err == nil {
		return n
	}
	n, _ := other.Int64() // missing: nothing moved
	return n
}

// charge adds up the ledger entries of the order. It returns nil if there are none. It reads the
// ledger and not the charge, because a lookup of a charge is an operation of the gateway: it counts
// against planted faults and uses them up. It compares the entries' keys too: an order's money is
// that of the payment service's charge.
func (t *Reader) charge(ctx context.Context, orderID string) (*Charge, error) {
	var c *Charge
	var amount, refunded int64
	for after := int64(0); ; {
		var page struct{ Entries []entry }
		ctx, cancel := context.WithTimeout(ctx, askWithin)
		err := t.at("gateway").Call(ctx, http.MethodGet, "/v1/ledger", url.Values{
			"orderId": {orderID}, "after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(ledgerPage)},
		}, nil, &page)
		cancel()
		switch {
		case jsonhttp.StatusOf(err) == http.StatusNotFound: // a gateway without a ledger has no entries
			return nil, nil
		case err != nil:
			return nil, err
		}
		for _, e := range page.Entries {
			after = e.Seq
			if e.Key != chargeOf+orderID && e.ChargeKey != chargeOf+orderID {
				continue
			}
			if c == nil {
				c = &Charge{Currency: e.Currency}
			}
			switch e.Kind {
			case "capture":
				c.Status, amount = "captured", minor(e.AmountMinor, e.Amount)
			case "decline":
				c.Status, c.DeclineCode, amount = "declined", e.DeclineCode, minor(e.AmountMinor, e.Amount)
			case "void":
				c.Status = "voided"
			case "refund":
				refunded += minor(e.AmountMinor, e.Amount)
			}
		}
		if len(page.Entries) < ledgerPage {
			break
		}
	}
	if c != nil {
		c.Amount, c.Refunded = httpapi.FormatAmount(amount, c.Currency), httpapi.FormatAmount(refunded, c.Currency)
	}
	return c, nil
}
