package app_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eventshop.example/services/orchestrator/internal/db"
	"eventshop.example/services/orchestrator/orchestrator"
)

// writeLogs is the environment variable that has [TestCommittedLogs] write the logs of the newest
// definition. The logs of a released definition never change.
const writeLogs = "WRITE_LOGS"

// committed is a road of a saga whose log is committed.
type committed struct{ name, inputs string }

func roads() []committed {
	return []committed{
		{"delivered", toShipped + " ShipmentDelivered"},
		{"declined", toCharging + " DuePassed PaymentFailed OrderCancelled"},
		{"out_of_stock", toReserving + " InventoryReservationFailed PaymentRefundFailed DuePassed Retry PaymentRefunded OrderCancelled"},
		{"carrier_refuses", toScheduling + " ShipmentFailed Retry ReleaseInventory:unchanged RefundPayment:unchanged CancelOrder:unchanged"},
		{"cancelled_while_charging", toCharging + " OrderCancellationRequested PaymentCompleted PaymentRefunded OrderCancelled"},
		{"cancelled_when_confirmed", toConfirmed + " OrderCancellationRequested ShipmentCancelled InventoryReleased PaymentRefunded OrderCancelled"},
		{"cancelled_too_late", toConfirmed + " OrderCancellationRequested ShipmentCancellationRejected OrderCancellationRequested ShipmentDelivered"},
		{"gone_early", toScheduling + " OrderConfirmed ShipmentDispatched ShipmentDelivered"},
		{"contradiction", toConfirming + " PaymentRefunded OrderConfirmed ShipmentDispatched OrderCancelled ShipmentDelivered"},
		{"all_refused", toScheduling + " ScheduleShipment:refused CancelShipment:refused ShipmentCancelled ReleaseInventory:refused Retry InventoryReleased RefundPayment:refused PaymentVoided CancelOrder:refused OrderCancelled ShipmentDispatched"},
	}
}

// line is a line of a committed log.
type line struct {
	Input, Action, From, To, Command string
}

// TestCommittedLogs folds the logs of every released definition through today's table. A saga that runs
// while a new release comes goes on as it began.
func TestCommittedLogs(t *testing.T) {
	if os.Getenv(writeLogs) == "1" {
		write(t)
	}
	for _, definition := range orchestrator.Definitions() {
		files, err := filepath.Glob(fmt.Sprintf("testdata/logs/definition-%d/*.json", definition.Version))
		if err != nil || len(files) < len(roads()) {
			t.Fatalf("definition %d has %d logs, %v", definition.Version, len(files), err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var lines []line
			if err := json.Unmarshal(data, &lines); err != nil || len(lines) < 3 {
				t.Fatalf("%s: %d lines, %v", file, len(lines), err)
			}
			state := orchestrator.None
			for i, l := range lines {
				d := orchestrator.Decide(definition, state, orchestrator.Input(l.Input))
				if got := (line{l.Input, string(d.Action), string(state), string(d.Next), string(d.Effect)}); got != l {
					t.Fatalf("%s, line %d: today's table decides %+v, the log has %+v", file, i+1, got, l)
				}
				state = d.Next
			}
			if !state.Ended() {
				t.Errorf("%s ends in %s", file, state)
			}
		}
	}
}

// write plays the roads and writes their logs.
func write(t *testing.T) {
	all := orchestrator.Definitions()
	folder := fmt.Sprintf("testdata/logs/definition-%d", all[len(all)-1].Version)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	for _, road := range roads() {
		id := newOrder()
		f.play(id, inputsOf(road.inputs)...)
		_, log := f.saga(id)
		f.check(id, log)
		data, err := json.MarshalIndent(linesOf(log), "", "  ")
		f.must(err)
		f.must(os.WriteFile(filepath.Join(folder, road.name+".json"), append(data, '\n'), 0o644))
	}
}

func linesOf(log []db.SagaLog) []line {
	lines := make([]line, len(log))
	for i, l := range log {
		lines[i] = line{l.Input, l.Action, l.FromState, l.ToState, l.Command}
	}
	return lines
}

// TestCommittedLogsAreTheServices: what the service writes today for a committed road is the committed log.
func TestCommittedLogsAreTheServices(t *testing.T) {
	f := newFixture(t)
	all := orchestrator.Definitions()
	for _, road := range roads() {
		id := newOrder()
		f.play(id, inputsOf(road.inputs)...)
		_, log := f.saga(id)
		got, err := json.MarshalIndent(linesOf(log), "", "  ")
		f.must(err)
		want, err := os.ReadFile(fmt.Sprintf("testdata/logs/definition-%d/%s.json", all[len(all)-1].Version, road.name))
		f.must(err)
		if strings.TrimSpace(string(want)) != string(got) {
			t.Errorf("%s:\n%s\ncommitted:\n%s", road.name, got, want)
		}
	}
}
