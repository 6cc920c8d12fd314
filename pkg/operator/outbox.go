package operator

import (
	"context"
	"net/http"
	"time"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
)

// republishWithin is what marking may take. It goes on when the caller has left, whose
// request a large table outlives: the mark is one transaction, and its repetition is
// harmless.
const republishWithin = 10 * time.Minute

// selection is the body of POST /outbox/republish.
type selection struct {
	Topics []string  `json:"topics"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	DryRun bool      `json:"dryRun"`
}

// outbox answers GET /outbox.
func (a *api) outbox(w http.ResponseWriter, r *http.Request) {
	d, err := a.Outbox.Describe(r.Context(), a.Pool)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, d)
}

// republish answers POST /outbox/republish.
func (a *api) republish(w http.ResponseWriter, r *http.Request) {
	actor, err := actorOf(r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	in, err := httpapi.Decode[selection](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), republishWithin)
	defer cancel()
	rows, err := a.Outbox.Republish(ctx, a.Pool, outbox.Selection{Topics: in.Topics, Since: in.Since, Until: in.Until, DryRun: in.DryRun})
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	if !in.DryRun {
		a.Logger.InfoContext(ctx, "outbox rows will be published again", "operator", actor, "rows", rows,
			"topics", in.Topics, "since", in.Since, "until", in.Until)
	}
	httpapi.WriteJSON(w, http.StatusOK, struct {
		Rows int64 `json:"rows"`
	}{rows})
}

// holdWithin is what the relays may take to stop: those of processes that are frozen stop
// when their leases run out.
const holdWithin = 20 * time.Second

// hold answers POST /outbox/hold.
func (a *api) hold(w http.ResponseWriter, r *http.Request) {
	actor, err := actorOf(r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	in, err := httpapi.Decode[struct {
		Reason string `json:"reason"`
	}](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), holdWithin)
	defer cancel()
	if err := a.Outbox.Hold(ctx, a.Pool, actor+": "+in.Reason); err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	a.Logger.InfoContext(ctx, "outbox on hold", "operator", actor, "reason", in.Reason)
	w.WriteHeader(http.StatusNoContent)
}

// release answers POST /outbox/release.
func (a *api) release(w http.ResponseWriter, r *http.Request) {
	actor, err := actorOf(r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	if err := a.Outbox.Release(r.Context(), a.Pool); err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	a.Logger.InfoContext(r.Context(), "outbox released", "operator", actor)
	w.WriteHeader(http.StatusNoContent)
}
