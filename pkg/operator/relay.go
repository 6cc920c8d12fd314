package operator

import (
	"context"
	"net/http"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/operator/operatorapi"
	"eventshop.example/pkg/outbox/capture"
)

// DescribeRelay handles GET /outbox/relay.
func (a *api) DescribeRelay(w http.ResponseWriter, r *http.Request, p operatorapi.DescribeRelayParams) {
	a.respond(w, r)(a.relay(r.Context(), p))
}

func (a *api) relay(ctx context.Context, p operatorapi.DescribeRelayParams) (any, error) {
	m, err := capture.ReadMode(ctx, a.Pool, value(p.UpTo))
	if err != nil {
		return nil, err
	}
	answer := operatorapi.Relay{
		Mode: operatorapi.RelayMode(m.Mode), Slot: m.Slot, Lost: m.Lost, Since: m.Since, By: m.By, Newest: m.Newest, Waiting: m.Waiting,
	}
	if s := m.State; s != nil {
		answer.SlotState = &operatorapi.SlotState{
			Active: s.Active, LagBytes: s.LagBytes, RetainedBytes: s.Retained,
			WalStatus: operatorapi.SlotStateWalStatus(s.WALStatus), SafeBytes: s.SafeBytes,
		}
	}
	return answer, nil
}

// SetRelay handles PUT /outbox/relay.
func (a *api) SetRelay(w http.ResponseWriter, r *http.Request, p operatorapi.SetRelayParams) {
	a.respond(w, r)(nil, a.setRelay(r, p))
}

func (a *api) setRelay(r *http.Request, p operatorapi.SetRelayParams) error {
	actor, err := actorOf(p.XOperator)
	if err != nil {
		return err
	}
	in, err := httpapi.Decode[operatorapi.RelayChange](r)
	if err != nil {
		return err
	}
	if err := capture.SetMode(r.Context(), a.Pool, capture.Mode(in.Mode), in.Slot, actor); err != nil {
		return err
	}
	a.Logger.InfoContext(r.Context(), "outbox relay changed", "operator", actor, "mode", in.Mode, "slot", in.Slot)
	return nil
}
