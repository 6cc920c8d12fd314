package app

import (
	"context"
	"encoding/json"
	"log/slog"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/eventstore"
	"eventshop.example/services/order/order"
)

// newStates returns how orders are folded from their streams.
func newStates(cfg Config, log *slog.Logger) *eventstore.States[order.Order] {
	return eventstore.NewStates(eventstore.StatesConfig[order.Order]{
		Apply: func(o order.Order, r eventstore.Record) (order.Order, error) {
			e, err := order.Decode(r.Type, r.Data)
			if err != nil {
				return o, errs.Wrap(errs.Internal, err, "event")
			}
			return o.Apply(e), nil
		},
		Format: order.SnapshotFormat,
		Every:  cfg.SnapshotEvery,
		Encode: func(o order.Order) (json.RawMessage, error) { return o.Snapshot() },
		Decode: func(s eventstore.Snapshot) (order.Order, error) {
			return order.FromSnapshot(s.StreamID, s.Version, s.State)
		},
		Pool: cfg.Pool, Log: log, Registerer: cfg.Registerer,
	})
}

// RunSnapshots writes the snapshots that are due, behind the requests and the records that made them
// due. It runs until ctx ends; several replicas may run it.
func (a *App) RunSnapshots(ctx context.Context) error { return a.states.Run(ctx) }

// FlushSnapshots writes those that are due now.
func (a *App) FlushSnapshots(ctx context.Context) error { return a.states.Flush(ctx) }

// noteSnapshots notes the snapshots of the versions that were appended and committed.
func (a *App) noteSnapshots(before order.Order, news []order.Event) {
	o := before
	if !a.states.Due(o.Version, o.Version+int64(len(news))) {
		return
	}
	for _, e := range news {
		o = o.Apply(e)
		if a.states.Due(o.Version-1, o.Version) {
			a.states.Note(o.ID, o.Version, o)
		}
	}
}
