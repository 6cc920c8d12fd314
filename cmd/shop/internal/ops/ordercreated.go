package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// OrderCreated is the payload of an order's OrderCreated as an operator puts it together
// from what the order service shows, to repair one that cannot be decoded: amounts are in
// minor units there.
func OrderCreated(ctx context.Context, order API, id string) (json.RawMessage, error) {
	var o struct {
		Customer, ShippingAddress json.RawMessage
		Items                     []struct {
			SKU       string
			Quantity  int
			UnitPrice json.Number
		}
		TotalAmount                   json.Number
		Currency, PlacedAt, ConfirmBy string
	}
	if err := order.Call(ctx, http.MethodGet, "/orders/"+url.PathEscape(id), nil, nil, &o); err != nil {
		return nil, fmt.Errorf("ask the order service for order %s: %w", id, err)
	}
	total, err := minor(o.TotalAmount)
	items := []map[string]any{}
	for _, item := range o.Items {
		var price int64
		if err == nil {
			price, err = minor(item.UnitPrice)
		}
		items = append(items, map[string]any{"sku": item.SKU, "quantity": item.Quantity, "unitPrice": price})
	}
	if err != nil {
		return nil, fmt.Errorf("amounts of order %s: %w", id, err)
	}
	return json.Marshal(map[string]any{"orderId": id, "customer": o.Customer, "shippingAddress": o.ShippingAddress, "items": items,
		"totalAmount": total, "currency": o.Currency, "confirmBy": o.ConfirmBy, "occurredAt": o.PlacedAt})
}

// minor turns an amount with two decimals into minor units.
func minor(amount json.Number) (int64, error) {
	whole, pence, _ := strings.Cut(amount.String(), ".")
	return strconv.ParseInt(whole+(pence + "00")[:2], 10, 64)
}
