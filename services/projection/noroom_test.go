package projection

import (
	"context"
	"net/http"
	"testing"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
)

// TestNoConnectionForProjection: at the connection limit of its role, the service answers 503 with
// Retry-After, not 500, and recovers without a restart.
func TestNoConnectionForProjection(t *testing.T) {
	t.Parallel()
	participanttest.NoConnection(t, Components(), "/orders", http.StatusOK, func(ctx context.Context, cfg participant.Config) error {
		return Run(ctx, Config{Config: cfg})
	})
}
