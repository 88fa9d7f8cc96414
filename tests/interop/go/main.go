// Command interop is a second implementation of plasm's network protocol, written from docs/protocol.md. It finds a
// node, runs a job on it and verifies the receipt, or is itself a bootstrap node, relay and DHT server.
//
// Usage:
//
//	interop vectors FILE            checks tests/vectors/messages.json
//	interop receipts FILE           checks tests/vectors/receipt.json
//	interop serve                   runs a node until standard input ends; prints its address
//	interop find BOOTSTRAP          finds a node, checks its capability document and prints how long that took
//	interop run BOOTSTRAP MODULE    runs MODULE on a node of the network; standard input is that of the job
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// timeLimit bounds a whole run; each step of the protocol has a shorter limit of its own.
const timeLimit = 60 * time.Second

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "vectors":
		return checkVectors(args[1])
	case len(args) == 2 && args[0] == "receipts":
		return checkReceiptVectors(args[1])
	case len(args) == 1 && args[0] == "serve":
		return serve()
	case len(args) == 2 && args[0] == "find":
		return findCommand(ctx, args[1])
	case len(args) == 3 && args[0] == "run":
		return runCommand(ctx, args[1], args[2])
	}
	return errors.New("usage: interop vectors FILE | receipts FILE | serve | find BOOTSTRAP | run BOOTSTRAP MODULE")
}

func findCommand(ctx context.Context, bootstrap string) error {
	client, err := join(ctx, bootstrap)
	if err != nil {
		return err
	}
	defer client.close()
	begin := time.Now()
	found, err := client.discover(ctx, "node")
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer_id": found.peer.String(),
		"ms":      time.Since(begin).Milliseconds(),
		"dialed":  client.host.Network().ConnsToPeer(found.peer)[0].RemoteMultiaddr().String(),
		"listed":  found.listed,
	})
}

func runCommand(ctx context.Context, bootstrap, path string) error {
	module, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	client, err := join(ctx, bootstrap)
	if err != nil {
		return err
	}
	defer client.close()
	found, err := client.discover(ctx, "node")
	if err != nil {
		return err
	}
	result, err := client.runJob(ctx, found, job{module: module, stdin: stdin})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"peer_id":   found.peer.String(),
		"arch":      found.document["runtime"].(map[string]any)["arch"],
		"stdout":    string(result.stdout),
		"exit_code": result.claim["exit_code"],
		"receipt":   result.receipt,
		"dialed":    client.host.Network().ConnsToPeer(found.peer)[0].RemoteMultiaddr().String(),
		"known":     client.host.Peerstore().Addrs(found.peer),
	})
}
