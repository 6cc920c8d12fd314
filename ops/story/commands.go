package story

import (
	"slices"
	"strings"

	"eventshop.example/ops/saga"
	"eventshop.example/pkg/events"
)

// Orchestrator is the service that coordinates orchestrated sagas.
const Orchestrator = saga.Orchestrator

// Command reports whether the event is a command, and which service it is for.
func (e Event) Command() (service string, ok bool) {
	t, known := events.Catalogue().Lookup(e.Type)
	if !known {
		return "", false
	}
	return events.IsCommands(t.Topic)
}

// coordinated returns what an orchestrated order waits for: the carrier, the order service after the
// parcel has left, or else the answer to the latest command, or the orchestrator's next command.
func coordinated(list []Event, last map[string]Event, has func(...string) bool) Wait {
	for _, a := range slices.Backward(saga.Forward()[5:]) { // from the dispatch on, the styles are the same
		if has(a.To) {
			return waitFor(a, last[a.To])
		}
	}
	var command, reply Event
	for _, e := range list {
		if _, is := e.Command(); is && e.counts() && e.Version >= command.Version {
			command = e
		}
	}
	if command.N == 0 {
		return waitFor(saga.Answers{To: "OrderCreated", Service: Orchestrator}, last["OrderCreated"])
	}
	ids := map[string]bool{} // all sendings of the command: one answer is enough
	for _, e := range list {
		if e.Type == command.Type && e.counts() {
			ids[e.ID] = true
		}
	}
	for _, e := range list {
		if ids[e.causation] && !ids[e.ID] && e.counts() {
			reply = e
		}
	}
	request := last["OrderCancellationRequested"]
	noticed := slices.ContainsFunc(list, func(e Event) bool { return e.causation == request.ID && e.Service == Orchestrator && e.counts() })
	service, _ := command.Command()
	switch {
	case reply.Type == "PaymentRefundFailed":
		return waitFor(saga.Answers{To: reply.Type, Service: Operator}, reply)
	case request.N > 0 && !noticed && !goesBack(command.Type):
		return waitFor(saga.Answers{To: request.Type, Service: Orchestrator}, request)
	case reply.N == 0:
		return waitFor(saga.Answers{To: command.Type, Service: service}, command)
	case reply.Type == "OrderConfirmed":
		return waitFor(saga.Answers{To: reply.Type, Service: Carrier}, reply)
	}
	return waitFor(saga.Answers{To: reply.Type, Service: Orchestrator}, reply)
}

// goesBack reports whether a command is a compensation, or closes the order: the saga has turned back.
func goesBack(command string) bool {
	t, _ := events.Catalogue().Lookup(command)
	return strings.HasSuffix(t.Topic, ".compensations")
}

// Message is one line of a saga as a sequence: an event or a command with its sender and receivers, or
// a line of the orchestrator's log that no event led to.
type Message struct {
	Event Event         // zero for a line without an event
	To    []string      // services that have acted on it, or will
	Line  *saga.LogLine // what the orchestrator made of it; nil if nothing
}

// Sequence returns the messages of the saga in their order: an effect never precedes its cause. It leaves
// out snapshots, notifications and records that are not events of the order. receivers returns the services
// of the saga that handle an event type of a style. A line of the orchestrator's log that no event
// led to (a time limit, an operator) comes after the command of the line before it, or after that line's
// event.
func (s Story) Sequence(receivers func(typ, style string) []string) []Message {
	lines := map[string]*saga.LogLine{}  // by event
	loose := map[string][]saga.LogLine{} // by the event that they come after
	if s.Saga != nil {
		there := map[string]bool{}
		for _, e := range s.Events {
			there[e.ID] = e.counts()
		}
		after := ""
		for i, line := range s.Saga.Log {
			if line.EventID == "" {
				loose[after] = append(loose[after], line)
			} else {
				lines[line.EventID] = &s.Saga.Log[i]
			}
			for _, id := range []string{line.EventID, line.CommandID} {
				if there[id] && id != "" {
					after = id
				}
			}
		}
	}
	var out []Message
	for _, e := range s.Events {
		if t, known := events.Catalogue().Lookup(e.Type); !e.counts() || !known || t.Topic == events.TopicOrderSnapshots || t.Topic == events.TopicOrderNotifications {
			continue
		}
		out = append(out, Message{Event: e, To: receivers(e.Type, e.Style), Line: lines[e.ID]})
		for _, line := range loose[e.ID] {
			out = append(out, Message{Line: &line})
		}
	}
	return out
}

// Next returns the steps that follow what the order waits for, in order, while it goes as hoped: of an
// orchestrated saga the steps of its definition, or the compensations that are due; of a choreographed one
// what each service does upon the event before it.
func (s Story) Next(definitions []saga.Definition) []string {
	if s.Ended || len(s.WaitsFor) == 0 {
		return nil
	}
	if c := s.Saga; c != nil {
		if len(c.CompensationsDue) > 0 {
			return append(slices.Clone(c.CompensationsDue[1:]), "CancelOrder")
		}
		for _, d := range definitions {
			if i := slices.Index(d.Steps, c.Step); d.Version == c.Definition && i >= 0 {
				return d.Steps[i+1:]
			}
		}
		return nil
	}
	steps := saga.Forward()
	i := slices.IndexFunc(steps, func(a saga.Answers) bool { return a.To == s.WaitsFor[0].Event && a.Service == s.WaitsFor[0].Service })
	if i < 0 {
		return nil
	}
	var next []string
	for _, a := range steps[i+1:] {
		next = append(next, a.Service+": "+a.With[0])
	}
	return next
}
