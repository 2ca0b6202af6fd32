// The peer webtransport-go, drafts 15 and 16: an echo server, and a client's checks against one, as ../common.py describes them.
//
// Its client asks for RESET_STREAM_AT (WT §3.1) and connects to no server without it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/quic-go/webtransport-go"
)

const (
	resetCode   webtransport.StreamErrorCode  = 5
	stopCode    webtransport.StreamErrorCode  = 6
	closeCode   webtransport.SessionErrorCode = 7
	closeReason                               = "bye"
	rejection                                 = 404
)

// Credit for what the other side opens and sends: without it, WebTransport's flow control stays off and a connection has one session.
var config = &webtransport.Config{MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, MaxIncomingData: 1 << 20}

func saw(what string, value any) {
	line, err := json.Marshal([]any{what, value})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", line)
}

// sessionEnd waits for the session's end and tells the other side's code and reason.
func sessionEnd(session *webtransport.Session) []any {
	<-session.Context().Done()
	_, err := session.AcceptStream(context.Background())
	var closed *webtransport.SessionError
	if errors.As(err, &closed) && closed.Remote {
		return []any{closed.ErrorCode, closed.Message}
	}
	return []any{nil, err.Error()}
}

// streamEnd is how the other side ended a stream: its code, or false if that is not what happened.
func streamEnd(err error) (webtransport.StreamErrorCode, bool) {
	var ended *webtransport.StreamError
	if errors.As(err, &ended) && ended.Remote {
		return ended.ErrorCode, true
	}
	return 0, false
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: serve --cert PEM --key PEM | connect URL [CHECK ...]")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	switch os.Args[1] {
	case "serve":
		certificate := flags.String("cert", "", "the certificate, PEM")
		key := flags.String("key", "", "its PKCS#8 key, PEM")
		_ = flags.Parse(os.Args[2:])
		ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
		if err := serve(ended, *certificate, *key); err != nil {
			log.Fatal(err)
		}
	case "connect":
		_ = flags.Parse(os.Args[2:])
		results := map[string]any{}
		for name, check := range checks {
			if flags.NArg() < 2 || slices.Contains(flags.Args()[1:], name) {
				results[name] = run(check, flags.Arg(0))
			}
		}
		if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("unknown command %q", os.Args[1])
	}
}
