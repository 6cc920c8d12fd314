package gateway_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/telemetry"
	"eventshop.example/services/payment/internal/gateway"
	"eventshop.example/services/payment/internal/gatewaytest"
)

// TestRequestsCarryTheTraceOfTheirStep: every request of an operation has the traceparent of its
// context, lookups by key too. Without one, a request has no such header.
func TestRequestsCarryTheTraceOfTheirStep(t *testing.T) {
	t.Parallel()
	const step = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for name, want := range map[string]string{"with a trace": step, "without": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, c := start(t)
			g.Fail(gatewaytest.Charge, gatewaytest.Fault{AnswerLost: true}) // so the charge is looked up
			ctx := telemetry.WithTrace(context.Background(), want, "")
			if _, err := c.Charge(ctx, key, request); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Refund(ctx, refundKey, gateway.RefundRequest{ChargeKey: key, Amount: 2999, Reason: "customer"}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Void(ctx, "charge-2", gateway.VoidRequest{OrderID: "2", Reason: "customer"}); err != nil {
				t.Fatal(err)
			}
			for _, operation := range []string{gatewaytest.Charge, gatewaytest.Lookup, gatewaytest.Refund, gatewaytest.Void} {
				if diff := cmp.Diff([]string{want}, g.Traces(operation)); diff != "" {
					t.Errorf("traces of %s (-want +got):\n%s", operation, diff)
				}
			}
		})
	}
}
