package inventory

import (
	"context"
	"net/http"
	"testing"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
)

// TestNoConnectionForInventory: at the connection limit of its role, the service answers 503 with
// Retry-After, not 500, and recovers without a restart.
func TestNoConnectionForInventory(t *testing.T) {
	t.Parallel()
	participanttest.NoConnection(t, Components(), "/stock/WIDGET-01", http.StatusOK, func(ctx context.Context, cfg participant.Config) error {
		return Run(ctx, Config{Config: cfg, InitialStock: map[string]int64{"WIDGET-01": 5}})
	})
}
