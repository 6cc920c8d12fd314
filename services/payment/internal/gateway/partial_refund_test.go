package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// partly refunds a part of the charge by other means.
func partly(t *testing.T, c *gateway.Client, refundKey string, amount int64) {
	t.Helper()
	_, err := c.Refund(context.Background(), refundKey, gateway.RefundRequest{ChargeKey: key, Amount: amount, Reason: "kindness"})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAPartialRefundIsNoRefund: the customer has a part of the money, and the rest cannot be
// refunded with this key. The charge is refunded only when all of it is returned.
func TestAPartialRefundIsNoRefund(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault gatewaytest.Fault
		want  errs.Kind
	}{
		"refused": {gatewaytest.Fault{}, errs.Internal},
		"lost":    {gatewaytest.Fault{Down: true}, errs.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, client := start(t)
			expect(t, captured, charge, client)
			partly(t, client, "by-hand-1", 2998)
			g.Fail(gatewaytest.Refund, c.fault)
			expectKind(t, c.want, refund, client)
			if net := g.Net(key); net != 1 {
				t.Errorf("%d are held", net)
			}
			g.Mend()
			partly(t, client, "by-hand-2", 1)
			byHand := refunded
			byHand.RefundID = refundKey
			expect(t, byHand, refund, client)
		})
	}
}

// TestARefundOfAnotherAmountIsLookedUp: the answer has another amount than the request, so the
// client looks up how much of the charge was refunded.
func TestARefundOfAnotherAmountIsLookedUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answered, refunded int64
		want               gateway.Answer
		kind               errs.Kind
	}{
		"less, and less went back":       {answered: 1, refunded: 1, kind: errs.Internal},
		"less, but all went back":        {answered: 1, refunded: 2999, want: gateway.Answer{Outcome: gateway.Refunded, RefundID: refundKey, Amount: 2999, Currency: "EUR"}},
		"more, and nothing went back":    {answered: 3000, refunded: 0, kind: errs.Internal},
		"no amount, nothing went back":   {answered: 0, refunded: 0, kind: errs.Transient},
		"no amount, and all went back":   {answered: 0, refunded: 2999, want: gateway.Answer{Outcome: gateway.Refunded, RefundID: refundKey, Amount: 2999, Currency: "EUR"}},
		"less than nothing is no amount": {answered: -2999, refunded: 0, kind: errs.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					fmt.Fprintf(w, `{"refundId":"re-1","status":"refunded","amount":%d,"currency":"EUR"}`, c.answered)
					return
				}
				fmt.Fprintf(w, `{"status":"captured","chargeId":"ch-1","amount":2999,"currency":"EUR","refunded":%d}`, c.refunded)
			}))
			t.Cleanup(server.Close)
			client := gateway.New(server.URL, 10*time.Second, patient())
			if c.want.Outcome == "" {
				expectKind(t, c.kind, refund, client)
				return
			}
			got, err := refund(client)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("error %v, answer (-want +got):\n%s", err, diff)
			}
		})
	}
}
