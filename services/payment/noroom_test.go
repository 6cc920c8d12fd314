package payment

import (
	"context"
	"net/http"
	"testing"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
)

// TestNoConnectionForPayment: at the connection limit of its role, the service answers 503 with
// Retry-After, not 500, and recovers without a restart.
func TestNoConnectionForPayment(t *testing.T) {
	t.Parallel()
	participanttest.NoConnection(t, Components(), "/payments/0198d9a0-0000-7000-8000-000000000000", http.StatusNotFound, func(ctx context.Context, cfg participant.Config) error {
		return Run(ctx, Config{Config: cfg, GatewayURL: "http://127.0.0.1:1"})
	})
}
