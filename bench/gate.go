package main

import "eventshop.example/bench/report"

// limits returns what a quick run must not exceed: counts, and ratios within one run. Whoever makes
// the code do less lowers them; nothing raises one without a reason in the commit.
//
// A saga is one order with two items, from its POST to DELIVERED. Counts contain what the services
// do by the clock while the orders are under way. The measured figures beside the limits are from
// two cores that other work had a share of; an idle machine has smaller batches, so more statements
// at low load.
func limits() []report.Limit {
	return []report.Limit{
		// Whole orders, saturated.
		{Bench: "sagas", What: statementsRow, Most: 67, Why: "33 to 42 measured without BEGIN and COMMIT; the target is 22 with them; 7 more since notification, which has two batches and two statements of its worker per mail"},
		{Bench: "sagas", What: writesRow, Most: 9, Why: "4.0 to 4.9 measured, and about 1 more since notification: a shop that keeps up has small batches; 2.1 to 2.6 before reactions ran in sets, with 10 to 19 s to CONFIRMED"},
		{Bench: "sagas", What: commitsRow, Most: 23, Why: "10.3 to 13.5 measured, for the same reason; most of them only read; up to 20.8 on a busy machine with notification, of which about 3 are its own"},
		{Bench: "sagas", What: walRow, Most: 64, Why: "34 to 39 kB measured; 3 more since notification: the mail and its receipts; 49.9 since two more read models, with a row per event and per fact each"},
		{Bench: "sagas", What: walRow, Over: script, Most: 2.4, Why: "1.69 to 2.01 measured; above 1.82 since the script writes two snapshots less; the target is 1.15"},

		// Whole orders at 12 per second, where batches are small and polling has its largest share.
		{Bench: "low", What: statementsRow, Most: 240, Why: "162 to 176 measured without BEGIN and COMMIT; the target is 120 with them; 181 with notification and two more read models, since those groups gather records"},
		{Bench: "low", What: writesRow, Most: 30, Why: "19.4 measured: notification's share is what the read models save since they gather records"},
		{Bench: "low", What: walRow, Most: 67, Why: "36.7 kB measured; 40.3 with notification; 53.5 since two more read models, with a row per event and per fact each"},

		// Orchestrated orders against choreographed ones, saturated, in one shop. When the dispatch overtakes
		// the confirmation, ConfirmOrder is answered as unchanged, or is not sent. That was one order of 80 to 200,
		// and depends on how soon the carrier takes the parcel.
		{Bench: "styles", What: recordsRow, Most: 14.3, Least: 13.7, Why: "ten facts and four commands; 14.005 and 14.013 measured: a fact answers nearly every command"},
		{Bench: "styles", What: commandsRow, Most: 4, Least: 3.7, Why: "ChargePayment, ReserveInventory, ScheduleShipment, ConfirmOrder"},
		{Bench: "styles", What: factsRow, Over: choreographed, Most: 1, Least: 1, Why: "exactly: the same facts in both styles"},
		{Bench: "styles", What: bytesRow, Over: choreographed, Most: 1.45, Why: "1.40 measured; the commands carry what their receivers need of the order"},
		{Bench: "styles", What: statementsRow, Over: choreographed, Most: 2.2, Why: "0.7 to 1.41 measured: four more hops and a saga's row and log; small batches of a machine that keeps up differ more between the styles"},
		{Bench: "styles", What: walRow, Over: choreographed, Most: 1.5, Why: "1.19 to 1.29 measured: four commands in outboxes, their receipts, and a saga's row and log"},

		// One POST, with the share of the relay that publishes its three events.
		{Bench: "post", What: statementsRow, Most: 11, Why: "8.2 to 8.8 measured without BEGIN and COMMIT: seven of the request, the rest of relay, the reader of all streams and clock"},
		{Bench: "post", What: writesRow, Most: 1.6, Why: "1.3 measured: the request, and its share of the relay's marks"},
		{Bench: "post", What: postRow(16), Over: pipelined, Least: 0.25, Why: "0.39 to 0.67 measured; the target is 0.5"},

		// One record of the consumer: inbox, a model of two tables, one event.
		{Bench: "consumer", What: statementsRow, Most: 0.05, Why: "0.014 measured: seven statements per batch; 4.0 before reactions ran in sets"},
		{Bench: "consumer", What: writesRow, Most: 0.02, Why: "0.002 measured: batches of up to 500"},
		{Bench: "consumer", What: walRow, Over: inSets, Most: 1.15, Why: "0.99 measured: the same rows"},

		// What an idle relay repeats: the poll, and once a second the renewal of its leases.
		{Bench: "growth", What: emptyPoll("20000 published rows"), Most: 20, Why: "13.2 measured; 139 before the narrow queue"},
		{Bench: "growth", What: emptyPoll("5000 published under a held snapshot"), Most: 20, Why: "13.0 measured; 2,587 before"},
		{Bench: "growth", What: emptyPoll("a long writer in another database"), Most: 20, Why: "13.2 measured; 2,587 before"},
		{Bench: "growth", What: otherIdle("5000 published under a held snapshot"), Most: 120, Why: "58 to 63 measured: versions of the leases that the snapshot keeps"},

		// A filling of 20,000 events, in sets of 5,000.
		{Bench: "rebuild", What: fillingRow("revenue", statementsRow), Most: 40, Why: "6 measured, of which most are what an idle service polls; a statement per event is 1,000"},
		{Bench: "rebuild", What: fillingRow("customer_orders", statementsRow), Most: 40, Why: "6 to 10 measured, for the same reason"},
		{Bench: "rebuild", What: fillingRow("customer_activity", statementsRow), Most: 40, Why: "6 to 10 measured, for the same reason"},
		{Bench: "rebuild", What: fillingRow("customer_activity", walRow), Most: 1, Why: "0.74 kB measured; 1.3 before the events of an order were in one set"},
	}
}
