package trace

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/events"
)

// outOfStock returns what an orchestrated order that is out of stock leaves under definition 2. Its saga's
// row names a definition; 0: there is no row.
func outOfStock(definition int) verify.Facts {
	const order = "order-1"
	var f verify.Facts
	for _, name := range []string{"OrderCreated", "ReserveInventory", "InventoryReservationFailed", "CancelOrder", "OrderCancelled"} {
		typ, _ := events.Catalogue().Lookup(name)
		id := uuid.New()
		f.Outbox = append(f.Outbox, verify.OutboxRow{Topic: typ.Topic, Type: name, AggregateType: typ.AggregateType, AggregateID: order, ID: id, Published: true})
		f.Records = append(f.Records, verify.Record{Topic: typ.Topic, Key: order, ID: id, Type: name, Style: event.Orchestrated})
	}
	if definition > 0 {
		f.Sagas = append(f.Sagas, verify.Saga{OrderID: order, State: "CANCELLED", Definition: definition})
	}
	return f
}

// TestHistoriesAreComparedUnderTheirDefinition: an order that its saga's row has under definition 1 cannot
// do what definition 2 does. Without a row, either may explain it. A definition of a newer release cannot
// be compared.
func TestHistoriesAreComparedUnderTheirDefinition(t *testing.T) {
	t.Parallel()
	c := New()
	for definition, want := range map[int]struct{ unexplained, compared bool }{
		0: {false, true}, 1: {true, true}, 2: {false, true}, 3: {false, false},
	} {
		findings := c.Check(outOfStock(definition))
		i := slices.IndexFunc(findings, func(r verify.Finding) bool { return r.Invariant == invariant })
		unexplained := slices.ContainsFunc(findings[i].Breaches, func(b string) bool { return strings.Contains(b, "the model cannot do") })
		compared := strings.HasSuffix(findings[i].Counted, ", 1 histories are compared with the model")
		if unexplained != want.unexplained || compared != want.compared {
			t.Errorf("definition %d: %q, %q", definition, findings[i].Breaches, findings[i].Counted)
		}
	}
}

// TestAnswersToCommandsThatAreReadAgain: payment has forgotten its inbox and reads all of an order's
// commands again, as often as there are copies. Each is answered, and one answer to a command that was
// never sent cannot be explained.
func TestAnswersToCommandsThatAreReadAgain(t *testing.T) {
	t.Parallel()
	f := outOfStock(2)
	reserve := f.Records[1].ID.String()
	f.Records[2].Causation = reserve
	answer := func(cause, command string) {
		id := uuid.New()
		f.Outbox = append(f.Outbox, verify.OutboxRow{Topic: events.TopicInventoryEvents, Type: "InventoryCommandAnswered",
			AggregateType: f.Outbox[2].AggregateType, AggregateID: "order-1", ID: id, Published: true})
		f.Records = append(f.Records, verify.Record{Topic: events.TopicInventoryEvents, Key: "order-1", ID: id, Type: "InventoryCommandAnswered",
			Style: event.Orchestrated, Causation: cause, Event: &events.InventoryCommandAnswered{OrderID: "order-1", Command: command, Outcome: "refused"}})
	}
	for range 5 { // more than a model has room for
		answer(reserve, "ReserveInventory")
	}
	unexplained := func() bool {
		findings := New().Check(f)
		i := slices.IndexFunc(findings, func(r verify.Finding) bool { return r.Invariant == invariant })
		return slices.ContainsFunc(findings[i].Breaches, func(b string) bool { return strings.Contains(b, "the model cannot do") })
	}
	if unexplained() {
		t.Error("answers to commands that are read again are not explained")
	}
	answer(uuid.NewString(), "ReleaseInventory")
	if !unexplained() {
		t.Error("an answer to a command that was not sent is explained")
	}
}
