/* SPDX-License-Identifier: MIT */
/* error.c - what Kafka's and librdkafka's codes mean to a program: whose fault it is. */

#include "connectors/kafka/kafka_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *lade_kafka_fault_name(enum lade_kafka_fault fault)
{
	static const char *const names[] = { "none", "data", "passing", "abort", "fenced",
					     "own", "fatal", "memory" };

	return (unsigned)fault < sizeof(names) / sizeof(*names) ? names[fault] : "unknown";
}

int lade_kafka_errno(enum lade_kafka_fault fault)
{
	static const int numbers[] = { 0,	-EBADMSG, -EAGAIN, -ECONNABORTED,
				       -ESTALE, -EACCES,  -EIO,	   -ENOMEM };

	return (unsigned)fault < sizeof(numbers) / sizeof(*numbers) ? numbers[fault] : -EIO;
}

int lade_kafka_version(void)
{
	return rd_kafka_version();
}

const char *lade_kafka_code_text(int code)
{
	return rd_kafka_err2str((rd_kafka_resp_err_t)code);
}

const char *lade_kafka_code_remedy(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
		return "no broker answers: do they run, are the addresses right, and is"
		       " security.protocol what they expect?";
	case RD_KAFKA_RESP_ERR__RESOLVE:
		return "a broker's name is not known here: check brokers, and the brokers'"
		       " advertised.listeners";
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
	case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
		return "the brokers do not accept who this is: check sasl.mechanism,"
		       " sasl.username and sasl.password";
	case RD_KAFKA_RESP_ERR__SSL:
		return "TLS with the brokers fails: check security.protocol, ssl.ca.location"
		       " and the certificates";
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		return "there is no such topic or partition, or it may not be seen: create"
		       " it, or look at its name";
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return "this user has no right to the topic: grant READ and DESCRIBE, or"
		       " WRITE, to it";
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
		return "this user has no right to the group: grant READ to it";
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return "this user has no right to the cluster: grant IDEMPOTENT_WRITE to it";
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
		return "this user has no right to the transactional id: grant WRITE and"
		       " DESCRIBE to it";
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
		return "the message is larger than the topic takes: raise its"
		       " max.message.bytes, or send less";
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
		return "too few replicas are in sync (min.insync.replicas): are all brokers"
		       " running?";
	case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
	case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
		return "a partition has no leader at the moment; it passes when the brokers"
		       " are up";
	case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
	case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
		return "no broker keeps the group at the moment; it passes when the brokers"
		       " are up";
	default:
		return NULL;
	}
}

/* The record itself is at fault, whoever writes it and wherever to. */
static bool of_data(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
	case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
	case RD_KAFKA_RESP_ERR_INVALID_RECORD:
	case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
		return true;
	default:
		return false;
	}
}

/* Another member or producer has taken over. */
static bool of_fence(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
	case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
	case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
	case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
	case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
	case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
		return true;
	default:
		return false;
	}
}

/* Brokers that are away, change places or are busy: librdkafka's own list is not public. */
static bool of_passing(int code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__RESOLVE:
	case RD_KAFKA_RESP_ERR__WAIT_COORD:
	case RD_KAFKA_RESP_ERR__WAIT_CACHE:
	case RD_KAFKA_RESP_ERR__IN_PROGRESS:
	case RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS:
	case RD_KAFKA_RESP_ERR__RETRY:
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
	case RD_KAFKA_RESP_ERR__INTR:
	case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
	case RD_KAFKA_RESP_ERR_INVALID_MSG:
	case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
	case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
	case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
	case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
	case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
	case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
	case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
	case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
	case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
	case RD_KAFKA_RESP_ERR_LISTENER_NOT_FOUND:
	case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
	case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
	case RD_KAFKA_RESP_ERR_MEMBER_ID_REQUIRED:
	case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
	case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
		return true;
	default:
		return false;
	}
}

enum lade_kafka_fault lade_kafka_fault_of(int code)
{
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return LADE_KAFKA_NONE;
	if (of_data(code))
		return LADE_KAFKA_DATA;
	if (of_fence(code))
		return LADE_KAFKA_FENCED;
	if (of_passing(code))
		return LADE_KAFKA_PASSING;
	if (code == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE)
		return LADE_KAFKA_MEMORY;
	/* What is neither passing nor a fence is for a person; nothing is given up for it. */
	return code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR_INVALID_TXN_STATE ||
			       code == RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER
		       ? LADE_KAFKA_FATAL
		       : LADE_KAFKA_OWN;
}

static int fail(struct lade_kafka_error *error, enum lade_kafka_fault fault, int code,
		const char *format, va_list args)
{
	if (error) {
		error->fault = fault;
		error->code = code;
		vsnprintf(error->text, sizeof(error->text), format, args);
	}
	return lade_kafka_errno(fault);
}

int lade_kafka_fail(struct lade_kafka_error *error, int code, const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = fail(error, lade_kafka_fault_of(code), code, format, args);
	va_end(args);
	return rc;
}

int lade_kafka_fail_as(struct lade_kafka_error *error, enum lade_kafka_fault fault, int code,
		       const char *format, ...)
{
	va_list args;
	int rc;

	va_start(args, format);
	rc = fail(error, fault, code, format, args);
	va_end(args);
	return rc;
}

/* A transaction's error says itself whether it is to be aborted. */
static enum lade_kafka_fault fault_with(const rd_kafka_error_t *from)
{
	enum lade_kafka_fault fault = lade_kafka_fault_of((int)rd_kafka_error_code(from));

	if (rd_kafka_error_is_fatal(from))
		return fault == LADE_KAFKA_FENCED ? fault : LADE_KAFKA_FATAL;
	if (rd_kafka_error_txn_requires_abort(from))
		return fault == LADE_KAFKA_FENCED ? fault : LADE_KAFKA_ABORT;
	return rd_kafka_error_is_retriable(from) ? LADE_KAFKA_PASSING : fault;
}

int lade_kafka_fail_with(struct lade_kafka_error *error, rd_kafka_error_t *from, const char *what)
{
	int rc = lade_kafka_fail_as(error, fault_with(from), (int)rd_kafka_error_code(from),
				    "%s: %.220s", what, rd_kafka_error_string(from));

	rd_kafka_error_destroy(from);
	return rc;
}
