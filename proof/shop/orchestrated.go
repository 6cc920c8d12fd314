package shop

import (
	"fmt"
	"slices"
	"strings"

	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
	"eventshop.example/services/orchestrator/orchestrator"
)

// Style is how an order's saga is coordinated. It is fixed when the order is accepted.
type Style uint8

// The styles. In the choreographed style the services react to each other's events. In the orchestrated
// style the orchestrator receives the events and sends commands.
const (
	Choreographed Style = iota
	Orchestrated
	styles int = iota
)

// String returns the name of the style, as --style has it.
func (s Style) String() string { return [styles]string{"choreographed", "orchestrated"}[s] }

// Coordination is how the saga of an order is coordinated: its style, and in the orchestrated style the
// definition that it began under, which it keeps to its end.
type Coordination struct {
	Style      Style
	Definition int // the version of the steps; 0: the first
}

// String returns words such as "choreographed" or "orchestrated 2".
func (c Coordination) String() string {
	if c.Style == Orchestrated && c.Definition > 1 {
		return fmt.Sprintf("%s %d", c.Style, c.Definition)
	}
	return c.Style.String()
}

// version returns the version of the definition, and 0 for a choreographed order.
func (c Coordination) version() uint8 {
	if c.Style == Choreographed {
		return 0
	}
	return uint8(max(c.Definition, 1))
}

// definition returns the definition that an orchestrated order follows.
func (m *Model) definition(s *saga) orchestrator.Definition { return m.released[s.definition-1] }

// receivers has the service that each command goes to, by what the command acts on.
var receivers = map[string]int{
	"Payment": paymentService, "Inventory": inventoryService, "Shipment": shippingService, "Order": orderService,
}

// receiver returns the service that a command goes to.
func receiver(command orchestrator.Effect) int { return receivers[objectOf(command)] }

// objectOf returns what a command acts on.
func objectOf(command orchestrator.Effect) string {
	for object := range receivers {
		if strings.HasSuffix(string(command), object) {
			return object
		}
	}
	panic("shop: no service takes " + string(command))
}

// answerEvent returns the type of the event that answers a command whose step emits none. It has the
// command and the outcome as fields. The model has a fact per command and outcome instead, with the name
// that the orchestrator's table has for it.
func answerEvent(command orchestrator.Effect) string { return objectOf(command) + "CommandAnswered" }

// answersCommands reports whether an event type is an [answerEvent].
func answersCommands(typ string) bool {
	return slices.ContainsFunc(orchestrator.Effects(), func(c orchestrator.Effect) bool { return answerEvent(c) == typ })
}

// chargeTopic is the topic of the record that payment charges an order for.
var chargeTopic = [styles]int{Choreographed: orderService, Orchestrated: services + paymentService}

// topicOf returns the topic of a command. Commands that undo a step do not wait behind those to take it.
func topicOf(command orchestrator.Effect) int {
	for _, undoes := range []string{"Refund", "Release", "Cancel"} {
		if strings.HasPrefix(string(command), undoes) {
			return 2*services + receiver(command)
		}
	}
	return services + receiver(command)
}

// addCommands adds the commands, each on its topic, and the answers to them, on the topic of the
// service's events.
func (m *Model) addCommands() {
	for _, c := range orchestrator.Effects() {
		m.addFact(string(c), topicOf(c))
		m.commands |= m.bit(string(c))
	}
	m.repeats |= m.commands // coordinationBroken has them
	for _, c := range orchestrator.Effects() {
		for _, answer := range []orchestrator.Input{orchestrator.Unchanged(c), orchestrator.Refused(c)} {
			m.addFact(string(answer), receiver(c))
			m.repeats |= m.bit(string(answer))
		}
	}
}

// subscribers returns the groups that receive a fact in a style. A service handles some events for
// choreographed orders only, because a command replaces them in the orchestrated style. What the outside
// does (the parcel leaves and arrives, a cancellation came too late, the attempts to return money are used
// up) means the same in both.
func (m *Model) subscribers(style Style, fact string) []string {
	typ := fact
	if command, _, answers := strings.Cut(fact, ": "); answers {
		typ = answerEvent(orchestrator.Effect(command))
	}
	groups := verify.SubscribersOf(typ, event.Style(style.String()))
	if group, both, ok := strings.Cut(m.rules.BothStyles, " "); ok && both == fact && !slices.Contains(groups, group) {
		groups = append(groups, group)
	}
	return slices.DeleteFunc(groups, func(group string) bool { return m.rules.Unsubscribed == group+" "+fact })
}

// answer emits the answer of a service to a command that had no event. The events that are no commands
// have no answer, and neither has a command whose event is still to come.
func (m *Model) answer(w *World, i int, command, answer string) {
	if answer != "" {
		m.emit(w, i, command+": "+answer)
	}
}

// decideSaga applies an input to the orchestrator's row, and sends the command that it leads to.
func (m *Model) decideSaga(w *World, i int, in orchestrator.Input) {
	row := &w.sagas[i].coordinator
	d := m.tables.Orchestrator(m.definition(&w.sagas[i]), row.state, in)
	if d.Next != row.state {
		row.attention = "" // another state ends it
	}
	row.state = d.Next
	if d.Attention && row.attention == "" {
		row.attention = in
	}
	if d.Effect != orchestrator.NoEffect {
		m.emit(w, i, string(d.Effect))
	}
}

// coordinatorSteps appends that the time limit of the state passes, and that an operator has the command
// of the state sent again.
func (m *Model) coordinatorSteps(w World, i int, steps []step) []step {
	s := &w.sagas[i]
	if s.style != Orchestrated {
		return steps
	}
	if w.left.Late > 0 && m.definition(s).Due(s.coordinator.state) > 0 {
		late := w
		late.left.Late--
		m.decideSaga(&late, i, orchestrator.DuePassed)
		steps = append(steps, step{Move: Move{kind: passesDue, order: uint8(i)}, To: late})
	}
	if w.left.Retries > 0 && m.tables.Orchestrator(m.definition(s), s.coordinator.state, orchestrator.Retry).Effect != orchestrator.NoEffect {
		again := w
		again.left.Retries--
		again.sagas[i].coordinator.retried = true
		m.decideSaga(&again, i, orchestrator.Retry)
		steps = append(steps, step{Move: Move{kind: retriesCommand, order: uint8(i)}, To: again})
	}
	return steps
}
