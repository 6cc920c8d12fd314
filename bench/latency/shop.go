package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// sku is stocked by each run with as many pieces as it will order.
const sku = "BENCH-01"

// shop is the shop's HTTP side.
type shop struct {
	orderURL, inventoryURL string
	client                 *http.Client
}

// newShop returns a shop that keeps one connection open for each client, as a
// gateway in front of it would.
func newShop(orderURL, inventoryURL string, clients int) *shop {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = clients
	return &shop{orderURL: orderURL, inventoryURL: inventoryURL, client: &http.Client{Transport: transport}}
}

// receive puts pieces on stock.
func (s *shop) receive(ctx context.Context, pieces int) error {
	body := fmt.Appendf(nil, `{"quantity":%d}`, pieces)
	if err := s.post(ctx, s.inventoryURL+"/stock/"+sku+"/receipts", body, nil); err != nil {
		return fmt.Errorf("stock %s: %w", sku, err)
	}
	return nil
}

// order places an order of one piece and returns its id.
func (s *shop) order(ctx context.Context) (id string, err error) {
	const body = `{"customer":{"id":"bench","name":"Ada Lovelace","email":"ada@example.com"},` +
		`"shippingAddress":{"street":"123 Babbage Lane","city":"London","postalCode":"SW1A 1AA","country":"GB"},` +
		`"items":[{"sku":"` + sku + `","quantity":1,"unitPrice":29.99}],"totalAmount":29.99,"currency":"GBP"}`
	var answer struct {
		OrderID string `json:"orderId"`
	}
	if err := s.post(ctx, s.orderURL+"/orders", []byte(body), &answer); err != nil {
		return "", fmt.Errorf("place an order: %w", err)
	}
	return answer.OrderID, nil
}

// post sends JSON, wants 201 and decodes the answer, unless into is nil.
func (s *shop) post(ctx context.Context, url string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("POST %s: read the answer: %w", url, err)
	}
	if res.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %s: %.500s", url, res.Status, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("POST %s: decode the answer: %w", url, err)
	}
	return nil
}
