package operators

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/quote"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/iso4217"
)

// OrderCreated builds the payload of an order's OrderCreated event from the order service's view of
// the order. Operators use it to repair an event that cannot be decoded. Amounts in the payload are
// in minor units.
func OrderCreated(ctx context.Context, order jsonhttp.Client, id string) (json.RawMessage, error) {
	var o struct {
		Customer, ShippingAddress json.RawMessage
		Items                     []struct {
			SKU       string
			Quantity  int
			UnitPrice json.Number
		}
		TotalAmount                   json.Number
		Currency, PlacedAt, ConfirmBy string
		Saga                          string // of the release before: ""
	}
	if err := order.Call(ctx, http.MethodGet, "/orders/"+url.PathEscape(id), nil, nil, &o); err != nil {
		return nil, fmt.Errorf("ask the order service for order %s: %w", id, err)
	}
	total, err := minor(o.TotalAmount, o.Currency)
	items := []map[string]any{}
	for _, item := range o.Items {
		var price int64
		if err == nil {
			price, err = minor(item.UnitPrice, o.Currency)
		}
		items = append(items, map[string]any{"sku": item.SKU, "quantity": item.Quantity, "unitPrice": price})
	}
	if err != nil {
		return nil, fmt.Errorf("amounts of order %s: %w", id, err)
	}
	payload := map[string]any{"orderId": id, "customer": o.Customer, "shippingAddress": o.ShippingAddress, "items": items,
		"totalAmount": total, "currency": o.Currency, "confirmBy": o.ConfirmBy, "occurredAt": o.PlacedAt}
	if o.Saga == string(event.Orchestrated) {
		payload["sagaStyle"] = o.Saga
	}
	return json.Marshal(payload)
}

// minor converts an amount to minor units; their number of digits depends on the currency.
func minor(amount json.Number, currency string) (int64, error) {
	whole, fraction, _ := strings.Cut(amount.String(), ".")
	digits := iso4217.Digits(currency)
	if whole == "" {
		return 0, fmt.Errorf("%s is no amount", quote.Word(amount.String()))
	}
	if len(strings.TrimRight(fraction, "0")) > digits {
		return 0, fmt.Errorf("%s has more than the %d decimals of %s", quote.Word(amount.String()), digits, quote.Word(currency))
	}
	return strconv.ParseInt(whole+(fraction + strings.Repeat("0", digits))[:digits], 10, 64)
}
