package saga

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"eventshop.example/ops/jsonhttp"
)

// Acknowledge ends the attention of an orchestrated saga that no answer to a command will end, such as one
// that has ended, and returns what it asked for and the saga afterwards. note says what was found and done,
// for the saga's log. The error says why there is nothing to acknowledge. The idempotency key names the
// saga's log as it was found, so that a request that arrives twice has the effect of one.
func (s *Shop) Acknowledge(ctx context.Context, orderID, actor, note string) (settled string, after *Coordinated, err error) {
	saga, err := s.Coordinated(ctx, orderID)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("orchestrator cannot be asked: %w", err)
	case saga == nil:
		return "", nil, fmt.Errorf("order %s has no orchestrated saga", orderID)
	}
	in := struct {
		Note  string `json:"note"`
		Lines int    `json:"lines,omitempty"` // nothing that came up since is acknowledged
	}{note, len(saga.Log)}
	after = new(Coordinated)
	err = act(ctx, *s.orchestrator, "/sagas/"+url.PathEscape(orderID)+"/acknowledge", fmt.Sprintf("saga-acknowledge-%d", len(saga.Log)), actor, in, after)
	if jsonhttp.StatusOf(err) == http.StatusNotFound { // the saga is there
		err = fmt.Errorf("this orchestrator process cannot end the attention, because it is of an earlier release: update it first (%w)", err)
	}
	if err != nil {
		return "", nil, err
	}
	return saga.Attention, after, nil
}
