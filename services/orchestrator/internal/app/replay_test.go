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

// roads returns the committed roads of a released definition.
func roads(definition orchestrator.Definition) []committed {
	if definition.Version == 2 {
		return reserveFirst()
	}
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

// reserveFirst returns the roads of definition 2.
func reserveFirst() []committed {
	return []committed{
		{"delivered", shipped2 + " ShipmentDelivered"},
		{"declined", charging2 + " DuePassed PaymentFailed InventoryReleased OrderCancelled"},
		{"out_of_stock", reserving2 + " DuePassed Retry InventoryReservationFailed CancelOrder:unchanged"},
		{"refund_fails", scheduling2 + " ShipmentFailed PaymentRefundFailed DuePassed Retry PaymentRefunded InventoryReleased OrderCancelled"},
		{"carrier_refuses", scheduling2 + " ShipmentFailed RefundPayment:unchanged Retry ReleaseInventory:unchanged CancelOrder:unchanged"},
		{"cancelled_while_reserving", reserving2 + " OrderCancellationRequested InventoryReserved InventoryReleased OrderCancelled"},
		{"cancelled_while_charging", charging2 + " OrderCancellationRequested PaymentCompleted PaymentRefunded InventoryReleased OrderCancelled"},
		{"cancelled_when_confirmed", confirmed2 + " OrderCancellationRequested ShipmentCancelled PaymentRefunded InventoryReleased OrderCancelled"},
		{"cancelled_too_late", confirmed2 + " OrderCancellationRequested ShipmentCancellationRejected OrderCancellationRequested ShipmentDelivered"},
		{"gone_early", scheduling2 + " OrderConfirmed ShipmentDispatched ShipmentDelivered"},
		{"contradiction", confirming2 + " InventoryReleased OrderConfirmed ShipmentDispatched OrderCancelled ShipmentDelivered"},
		{"all_refused", scheduling2 + " ScheduleShipment:refused CancelShipment:refused ShipmentCancelled RefundPayment:refused Retry PaymentVoided ReleaseInventory:refused InventoryReleased CancelOrder:refused OrderCancelled ShipmentDispatched"},
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
		files, err := filepath.Glob(filepath.Join(folder(definition), "*.json"))
		if err != nil || len(files) < len(roads(definition)) {
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

// write plays the roads of the newest definition and writes their logs.
func write(t *testing.T) {
	all := orchestrator.Definitions()
	newest := all[len(all)-1]
	if err := os.MkdirAll(folder(newest), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range newFixture(t).logsOf(newest) {
		if err := os.WriteFile(filepath.Join(folder(newest), name+".json"), append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// folder returns where the logs of a definition are.
func folder(definition orchestrator.Definition) string {
	return fmt.Sprintf("testdata/logs/definition-%d", definition.Version)
}

// logsOf plays the roads of a definition, and returns what the service writes today: the log of each road.
func (f *fixture) logsOf(definition orchestrator.Definition) map[string][]byte {
	f.t.Helper()
	f.begins(definition)
	logs := map[string][]byte{}
	for _, road := range roads(definition) {
		id := newOrder()
		f.play(id, inputsOf(road.inputs)...)
		_, log := f.saga(id)
		f.check(id, log)
		data, err := json.MarshalIndent(linesOf(log), "", "  ")
		f.must(err)
		logs[road.name] = data
	}
	return logs
}

func linesOf(log []db.SagaLog) []line {
	lines := make([]line, len(log))
	for i, l := range log {
		lines[i] = line{l.Input, l.Action, l.FromState, l.ToState, l.Command}
	}
	return lines
}

// TestCommittedLogsAreTheServices: what the service writes today for a committed road is the committed log,
// under each released definition.
func TestCommittedLogsAreTheServices(t *testing.T) {
	f := newFixture(t)
	for _, definition := range orchestrator.Definitions() {
		for name, got := range f.logsOf(definition) {
			want, err := os.ReadFile(filepath.Join(folder(definition), name+".json"))
			f.must(err)
			if strings.TrimSpace(string(want)) != string(got) {
				t.Errorf("definition %d, %s:\n%s\ncommitted:\n%s", definition.Version, name, got, want)
			}
		}
	}
}
