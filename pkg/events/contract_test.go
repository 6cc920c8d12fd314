package events_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// The contract between services that are released separately: the topic of each event, and the
// aggregate whose version it carries.
func TestWhereEventsGo(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	for _, typ := range events.Catalogue().Types() {
		key := typ.Topic + " of " + typ.AggregateType
		got[key] = append(got[key], typ.Name)
	}
	want := map[string][]string{
		"order.events of Order": {"OrderCreated", "OrderConfirmed", "OrderCancellationRequested", "OrderCancelled", "OrderShipped", "OrderDelivered", "OrderCommandAnswered"},
		"payment.events of Payment": {
			"PaymentCompleted", "PaymentFailed", "PaymentRefunded", "PaymentVoided", "PaymentRefundFailed", "PaymentCommandAnswered",
		},
		"inventory.events of Reservation": {"InventoryReserved", "InventoryReservationFailed", "InventoryReleased", "InventoryCommandAnswered"},
		"shipping.events of Shipment": {
			"ShipmentScheduled", "ShipmentFailed", "ShipmentDispatched", "ShipmentDelivered", "ShipmentCancelled", "ShipmentCancellationRejected",
			"ShipmentCommandAnswered",
		},
		"order.notifications of Order": {"OrderPlaced"},
		"order.snapshots of Order":     {"OrderSnapshot"},
		"order.commands of Saga":       {"ConfirmOrder"}, "order.compensations of Saga": {"CancelOrder"},
		"payment.commands of Saga": {"ChargePayment"}, "payment.compensations of Saga": {"RefundPayment"},
		"inventory.commands of Saga": {"ReserveInventory"}, "inventory.compensations of Saga": {"ReleaseInventory"},
		"shipping.commands of Saga": {"ScheduleShipment"}, "shipping.compensations of Saga": {"CancelShipment"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Events are kept for ever and never compacted: projections are rebuilt from the first.
func TestHowLongTopicsKeepRecords(t *testing.T) {
	t.Parallel()
	days := func(n int) map[string]string {
		return map[string]string{"cleanup.policy": "delete", "retention.ms": strconv.FormatInt((time.Duration(n) * 24 * time.Hour).Milliseconds(), 10)}
	}
	forever := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
	got := map[string]map[string]string{}
	for _, topic := range append(events.Topics(), event.DeadLetterTopic("t", "g"), event.RetryTopic("t", "g")) {
		got[topic.Name] = topic.Config
	}
	want := map[string]map[string]string{
		"order.events": forever, "payment.events": forever, "inventory.events": forever, "shipping.events": forever,
		"order.notifications": days(7), "order.snapshots": {"cleanup.policy": "compact"},
		"order.commands": days(30), "payment.commands": days(30), "inventory.commands": days(30), "shipping.commands": days(30),
		"order.compensations": days(30), "payment.compensations": days(30), "inventory.compensations": days(30), "shipping.compensations": days(30),
		"t.g.dlq": days(30), "t.g.retry": days(14),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
