package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"eventshop.example/ops/jsonhttp"
)

// draft is an order that is still written, as its service answers with it.
type draft struct {
	OrderID string `json:"orderId"`
	Version int64  `json:"version"`
	Status  string `json:"status"`
	Items   []struct {
		SKU string `json:"sku"`
	} `json:"items"`
}

// edit sends a command for a draft, from an editor that knows it at a version. It returns the draft
// after the command.
func (s *shop) edit(ctx context.Context, editor, method, path string, body any, knows draft) (after draft, err error) {
	s.say("%s, who knows version %d: %s %s", editor, knows.Version, method, path)
	err = s.call(ctx, method, s.Order+"/orders/"+knows.OrderID+path, body, &after, "If-Match", fmt.Sprintf(`"%d"`, knows.Version))
	if refused := jsonhttp.StatusOf(err); refused != 0 {
		s.say("%s is refused: %d", editor, refused)
	}
	return after, err
}

// twoEditors changes one draft as two people do. Neither overwrites what the other has changed.
func twoEditors(ctx context.Context, s *shop, customer string) (string, error) {
	var started draft
	err := s.call(ctx, http.MethodPost, s.Order+"/orders", map[string]any{
		"draft": true, "currency": "GBP",
		"customer": map[string]any{"id": customer, "name": "Ada Lovelace", "email": "ada@example.com"},
	}, &started)
	if err != nil {
		return "", err
	}
	s.say("draft %s", started.OrderID)
	item := func(sku, price string) map[string]any {
		return map[string]any{"sku": sku, "quantity": 1, "unitPrice": json.Number(price)}
	}
	if _, err := s.edit(ctx, "Ada", http.MethodPost, "/items", item(widget, "29.99"), started); err != nil {
		return "", err
	}
	_, err = s.edit(ctx, "Charles", http.MethodPost, "/items", item(gadget, "40.01"), started)
	got := fmt.Sprintf("second editor %d", jsonhttp.StatusOf(err))
	if err == nil {
		return got, nil // he has overwritten what he had not seen
	}
	var now draft
	if err := s.call(ctx, http.MethodGet, s.Order+"/orders/"+started.OrderID, nil, &now); err != nil {
		return got, err
	}
	if now, err = s.edit(ctx, "Charles", http.MethodPost, "/items", item(gadget, "40.01"), now); err != nil {
		return got, err
	}
	got += fmt.Sprintf(", then %d items", len(now.Items))
	_, err = s.edit(ctx, "Ada", http.MethodPost, "/place", nil, now)
	got += fmt.Sprintf(", placed without an address %d", jsonhttp.StatusOf(err))
	if now, err = s.edit(ctx, "Ada", http.MethodPut, "/address", map[string]any{"street": "123 Babbage Lane", "city": "London", "postalCode": "SW1A 1AA"}, now); err != nil {
		return got, err
	}
	if _, err = s.edit(ctx, "Ada", http.MethodPost, "/place", nil, now); err != nil {
		return got, err
	}
	status, err := s.await(ctx, started.OrderID, "CONFIRMED", "CANCELLED")
	if err != nil {
		return got + ", " + status, err
	}
	b, err := s.books(ctx, started.OrderID)
	return fmt.Sprintf("%s, %s, paid %s", got, status, pounds(b.net())), err
}
