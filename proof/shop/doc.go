// Package shop is the shop's order saga as a system of moves for package check. It takes the
// decisions from the services' own transition tables, and which event goes to which service from
// ops/verify, whose test compares its lists with the services' subscription tables. What is modelled here is
// the rest: topics, deliveries, calls, crashes, the card gateway, the carrier and the customer.
//
// A [World] has one order, or two that want the same SKU. It holds the rows of the participants and
// the topics, each a log with an offset per consumer group. The moves are:
//
//   - a group receives the next record of a topic. Topics and groups do not wait for each other.
//   - a service calls the gateway or the carrier, and later records the answer in a transaction. In
//     between everything else can happen, and the transaction decides about the row as it is then.
//   - the worker of payment that returns money, and the carrier's feed.
//   - the gateway approves or declines a charge, the carrier accepts or refuses a parcel, and the
//     parcel leaves and arrives.
//   - the customer cancels, or the deadline passes, at any moment.
//   - faults, as many as the [Bounds] allow.
//
// Not modelled: retry topics and dead letters (they keep the order of a key, so that they only delay),
// charges that the gateway refuses without a record, carriers and gateways that contradict
// themselves, keys that a person closes at the gateway, two attempts at one refund at once, and
// drafts, which no other service knows. The services' own tests have these.
//
// # Files
//
// model.go has the [Model], world.go its states and encode.go their encoding. order.go, payment.go,
// returns.go, inventory.go and shipping.go are the participants, deliver.go their consumers, and
// outside.go the gateway and the carrier. invariants.go says what must hold, and move.go and
// describe.go put a run into words. orchestrated.go has the rules of the orchestrated style and the
// orchestrator, and ends.go the ends of both styles, to compare them.
package shop
