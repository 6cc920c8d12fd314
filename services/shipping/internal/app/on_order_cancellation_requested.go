package app

import (
	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/events"
	"eventshop.example/services/shipping/shipping"
)

// OnOrderCancellationRequested decides the cancellation, because dispatch is the saga's pivot. A
// request before the dispatch succeeds; a later one is rejected. The service cancels the parcel at
// the carrier, unless the row already shows the outcome. It does so even when nothing was
// scheduled, because the carrier's tombstone then refuses a schedule request that is in progress.
func OnOrderCancellationRequested(e consumer.Event[events.OrderCancellationRequested]) Input {
	return Input{Kind: shipping.OrderCancellationRequested, Reason: e.Data.Reason, Detail: e.Data.Detail}
}
