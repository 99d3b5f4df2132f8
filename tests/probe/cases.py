"""Small AMQP 0-9-1 cases, each on a connection of its own; prints for each what the broker said.

Usage: cases.py HOST PORT [PATTERN]  ->  lines of: name, tab, outcome
"""
import signal
class CaseTimeout(BaseException): pass
def _al(*a): raise CaseTimeout('timeout 8s')
signal.signal(signal.SIGALRM,_al)
import sys, pika, time, threading, uuid, json
from pika.exceptions import *
HOST=sys.argv[1]; PORT=int(sys.argv[2])
def P(**k):
    return pika.ConnectionParameters(HOST,PORT,virtual_host=k.pop('vhost','/'),credentials=k.pop('cred',pika.PlainCredentials('guest','guest')),heartbeat=k.pop('heartbeat',0),**k)
def conn(**k): return pika.BlockingConnection(P(**k))
cases=[]
def case(f): cases.append(f); return f
def q(): return 'p.'+uuid.uuid4().hex[:8]
def show(r):
    if r is None: return 'ok'
    return str(r)
C=None
def run():
    for f in cases:
        if len(sys.argv)>3 and not __import__('re').search(sys.argv[3],f.__name__): continue
        c=None
        try:
            signal.alarm(8)
            c=conn(); ch=c.channel()
            r=f(c,ch)
            out='OK '+show(r)
        except ChannelClosedByBroker as e: out='CH %d %s'%(e.reply_code,e.reply_text)
        except ConnectionClosedByBroker as e: out='CONN %d %s'%(e.reply_code,e.reply_text)
        except UnroutableError as e: out='UNROUTABLE %s'%[ (m.method.reply_code,m.method.reply_text) for m in e.messages]
        except NackError as e: out='NACKED'
        except CaseTimeout as e: out='TIMEOUT'
        except ChannelWrongStateError as e:
            r=getattr(ch,'_closing_reason',None) or getattr(ch._impl,'_closing_reason',None)
            out='CH %s %s'%(getattr(r,'reply_code','?'),getattr(r,'reply_text',r))
        except Exception as e: out='EXC %s %s'%(type(e).__name__,e)
        try:
            signal.alarm(3)
            if c and c.is_open: c.close()
        except (Exception,CaseTimeout) as e: pass
        signal.alarm(0)
        print('%s\t%s'%(f.__name__,out)); sys.stdout.flush()
BP=pika.BasicProperties
@case
def queue_inequiv_durable(c,ch):
    n=q(); ch.queue_declare(n,exclusive=False,durable=False); ch.queue_declare(n,durable=True)
@case
def queue_inequiv_autodelete(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_declare(n,auto_delete=True)
@case
def queue_inequiv_exclusive_same_conn(c,ch):
    n=q(); ch.queue_declare(n,exclusive=True); ch.queue_declare(n,exclusive=False)
@case
def queue_inequiv_nonexcl_to_excl(c,ch):
    n=q(); ch.queue_declare(n,exclusive=False); ch.queue_declare(n,exclusive=True)
@case
def queue_inequiv_arg_ttl(c,ch):
    n=q(); ch.queue_declare(n,arguments={'x-message-ttl':1000}); ch.queue_declare(n,arguments={'x-message-ttl':2000})
@case
def queue_inequiv_arg_missing(c,ch):
    n=q(); ch.queue_declare(n,arguments={'x-message-ttl':1000}); ch.queue_declare(n)
@case
def queue_inequiv_arg_added(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_declare(n,arguments={'x-message-ttl':1000})
@case
def queue_inequiv_unknown_arg(c,ch):
    n=q(); ch.queue_declare(n,arguments={'foo':1}); ch.queue_declare(n,arguments={'foo':2})
@case
def queue_equiv_arg_int_width(c,ch):
    n=q(); ch.queue_declare(n,arguments={'x-message-ttl':1000}); ch.queue_declare(n,arguments={'x-message-ttl':pika.compat.long(1000)})
@case
def queue_inequiv_type(c,ch):
    n=q(); ch.queue_declare(n,durable=True); ch.queue_declare(n,durable=True,arguments={'x-queue-type':'quorum'})
@case
def queue_type_invalid(c,ch): ch.queue_declare(q(),durable=True,arguments={'x-queue-type':'bogus'})
@case
def queue_quorum_nondurable(c,ch): ch.queue_declare(q(),durable=False,arguments={'x-queue-type':'quorum'})
@case
def queue_quorum_exclusive(c,ch): ch.queue_declare(q(),durable=True,exclusive=True,arguments={'x-queue-type':'quorum'})
@case
def queue_quorum_autodelete(c,ch): ch.queue_declare(q(),durable=True,auto_delete=True,arguments={'x-queue-type':'quorum'})
@case
def queue_quorum_maxprio(c,ch): ch.queue_declare(q(),durable=True,arguments={'x-queue-type':'quorum','x-max-priority':5})
@case
def queue_quorum_servernamed(c,ch): return ch.queue_declare('',durable=True,arguments={'x-queue-type':'quorum'}).method.queue
@case
def queue_stream_ttl(c,ch): ch.queue_declare(q(),durable=True,arguments={'x-queue-type':'stream','x-message-ttl':5})
@case
def queue_ttl_string(c,ch): ch.queue_declare(q(),arguments={'x-message-ttl':'abc'})
@case
def queue_ttl_negative(c,ch): ch.queue_declare(q(),arguments={'x-message-ttl':-1})
@case
def queue_ttl_zero(c,ch): ch.queue_declare(q(),arguments={'x-message-ttl':0})
@case
def queue_ttl_too_large(c,ch): ch.queue_declare(q(),arguments={'x-message-ttl':2**40})
@case
def queue_expires_zero(c,ch): ch.queue_declare(q(),arguments={'x-expires':0})
@case
def queue_maxprio_256(c,ch): ch.queue_declare(q(),arguments={'x-max-priority':256})
@case
def queue_maxprio_neg(c,ch): ch.queue_declare(q(),arguments={'x-max-priority':-1})
@case
def queue_maxlen_neg(c,ch): ch.queue_declare(q(),arguments={'x-max-length':-1})
@case
def queue_overflow_bad(c,ch): ch.queue_declare(q(),arguments={'x-overflow':'nope'})
@case
def queue_overflow_rpdlx_classic(c,ch): ch.queue_declare(q(),arguments={'x-overflow':'reject-publish-dlx'})
@case
def queue_overflow_rpdlx_quorum(c,ch): ch.queue_declare(q(),durable=True,arguments={'x-queue-type':'quorum','x-overflow':'reject-publish-dlx'})
@case
def queue_dlrk_without_dlx(c,ch): ch.queue_declare(q(),arguments={'x-dead-letter-routing-key':'a'})
@case
def queue_dlx_nonstring(c,ch): ch.queue_declare(q(),arguments={'x-dead-letter-exchange':5})
@case
def queue_dlx_absent_exchange(c,ch): ch.queue_declare(q(),arguments={'x-dead-letter-exchange':'nonexistent.x'})
@case
def queue_mode_bad(c,ch): ch.queue_declare(q(),arguments={'x-queue-mode':'fast'})
@case
def queue_version_3(c,ch): ch.queue_declare(q(),arguments={'x-queue-version':3})
@case
def queue_sac_nonbool(c,ch): ch.queue_declare(q(),arguments={'x-single-active-consumer':'yes'})
@case
def queue_amq_prefix(c,ch): ch.queue_declare('amq.foo')
@case
def queue_amq_prefix_passive(c,ch): ch.queue_declare('amq.foo',passive=True)
@case
def queue_passive_missing(c,ch): ch.queue_declare(q(),passive=True)
@case
def queue_server_named(c,ch): return ch.queue_declare('').method.queue
@case
def queue_name_too_long(c,ch): ch.queue_declare('x'*256)
@case
def queue_name_crlf(c,ch):
    from pika import spec
    r=[]; ch._impl._rpc(spec.Queue.Declare(queue='a\r\nb'+q()),lambda f:r.append(repr(f.method.queue)),[spec.Queue.DeclareOk]); c.process_data_events(0.4); return r
@case
def queue_declare_empty_twice(c,ch):
    a=ch.queue_declare('').method.queue; b=ch.queue_declare('').method.queue; return a!=b
@case
def queue_bind_empty_name_uses_last(c,ch):
    a=ch.queue_declare('',exclusive=True).method.queue; ch.queue_bind('','amq.fanout'); ch.basic_publish('amq.fanout','', b'x'); time.sleep(.1); return ch.basic_get(a,True)[2]
@case
def queue_bind_empty_no_last(c,ch): ch.queue_bind('','amq.fanout')
@case
def consume_empty_no_last(c,ch): ch.basic_consume('',lambda *a:0)
@case
def queue_excl_other_conn_declare(c,ch):
    n=q(); c2=conn(); c2.channel().queue_declare(n,exclusive=True); ch.queue_declare(n,exclusive=True)
@case
def queue_excl_other_conn_passive(c,ch):
    n=q(); c2=conn(); c2.channel().queue_declare(n,exclusive=True); ch.queue_declare(n,passive=True)
@case
def queue_excl_other_conn_consume(c,ch):
    n=q(); c2=conn(); c2.channel().queue_declare(n,exclusive=True); ch.basic_consume(n,lambda *a:0)
@case
def queue_excl_other_conn_bind(c,ch):
    n=q(); c2=conn(); c2.channel().queue_declare(n,exclusive=True); ch.queue_bind(n,'amq.direct','a')
@case
def queue_excl_other_conn_delete(c,ch):
    n=q(); c2=conn(); c2.channel().queue_declare(n,exclusive=True); ch.queue_delete(n)
@case
def queue_excl_other_conn_publish_default(c,ch):
    n=q(); c2=conn(); h=c2.channel(); h.queue_declare(n,exclusive=True); ch.basic_publish('',n,b'hi'); time.sleep(.1); return h.basic_get(n,True)[2]
@case
def queue_delete_missing(c,ch): return ch.queue_delete(q()).method
@case
def queue_delete_ifempty(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x'); ch.queue_delete(n,if_empty=True)
@case
def queue_delete_ifunused(c,ch):
    n=q(); ch.queue_declare(n); ch.basic_consume(n,lambda *a:0); ch.queue_delete(n,if_unused=True)
@case
def queue_delete_count(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x'); return ch.queue_delete(n).method.message_count
@case
def queue_purge_missing(c,ch): ch.queue_purge(q())
@case
def queue_purge_count_not_unacked(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); [ch.basic_publish('',n,b'x') for _ in range(3)]; ch.basic_get(n); return ch.queue_purge(n).method.message_count
@case
def queue_declare_counts(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); [ch.basic_publish('',n,b'x') for _ in range(3)]; ch.basic_get(n); m=ch.queue_declare(n,passive=True).method; return (m.message_count,m.consumer_count)
@case
def queue_unbind_missing_binding(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_unbind(n,'amq.direct','zz')
@case
def queue_unbind_missing_queue(c,ch): ch.queue_unbind(q(),'amq.direct','zz')
@case
def queue_unbind_missing_exchange(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_unbind(n,'nonexist.x','zz')
@case
def queue_bind_missing_exchange(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_bind(n,'nonexist.x','zz')
@case
def queue_bind_missing_queue(c,ch): ch.queue_bind(q(),'amq.direct','zz')
@case
def queue_bind_default_exchange(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_bind(n,'','zz')
@case
def queue_unbind_default_exchange(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_unbind(n,'',n)
@case
def bind_durable_x_transient_q(c,ch):
    n=q(); ch.queue_declare(n,durable=False); x=q(); ch.exchange_declare(x,'direct',durable=True); ch.queue_bind(n,x,'a'); ch.exchange_delete(x)
@case
def bind_transient_x_durable_q(c,ch):
    n=q(); ch.queue_declare(n,durable=True); x=q(); ch.exchange_declare(x,'direct',durable=False); ch.queue_bind(n,x,'a'); ch.exchange_delete(x); ch.queue_delete(n)
@case
def exch_inequiv_type(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); ch.exchange_declare(x,'fanout')
@case
def exch_inequiv_durable(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); ch.exchange_declare(x,'direct',durable=True)
@case
def exch_inequiv_internal(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); ch.exchange_declare(x,'direct',internal=True)
@case
def exch_inequiv_ae(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); ch.exchange_declare(x,'direct',arguments={'alternate-exchange':'amq.fanout'})
@case
def exch_bad_type(c,ch): ch.exchange_declare(q(),'bogus')
@case
def exch_amq_prefix_new(c,ch): ch.exchange_declare('amq.new','direct')
@case
def exch_amq_redeclare_same(c,ch): ch.exchange_declare('amq.direct','direct',durable=True)
@case
def exch_amq_redeclare_diff(c,ch): ch.exchange_declare('amq.direct','fanout',durable=True)
@case
def exch_declare_default(c,ch): ch.exchange_declare('','direct',durable=True)
@case
def exch_declare_default_passive(c,ch): ch.exchange_declare('','direct',passive=True)
@case
def exch_passive_missing(c,ch): ch.exchange_declare(q(),'direct',passive=True)
@case
def exch_passive_wrong_type(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); ch.exchange_declare(x,'fanout',passive=True)
@case
def exch_delete_missing(c,ch): ch.exchange_delete(q())
@case
def exch_delete_amq(c,ch): ch.exchange_delete('amq.direct')
@case
def exch_delete_default(c,ch): ch.exchange_delete('')
@case
def exch_delete_ifunused(c,ch):
    x=q(); ch.exchange_declare(x,'direct'); n=q(); ch.queue_declare(n); ch.queue_bind(n,x,'a'); ch.exchange_delete(x,if_unused=True)
@case
def exch_autodelete_after_unbind(c,ch):
    x=q(); ch.exchange_declare(x,'direct',auto_delete=True); n=q(); ch.queue_declare(n); ch.queue_bind(n,x,'a'); ch.queue_unbind(n,x,'a'); ch.exchange_declare(x,'direct',passive=True)
@case
def exch_internal_publish(c,ch):
    x=q(); ch.exchange_declare(x,'direct',internal=True); ch.basic_publish(x,'a',b'x'); c.process_data_events(0.3); ch.queue_declare('')
@case
def exch_bind_missing(c,ch): ch.exchange_bind(q(),'amq.direct','k')
@case
def exch_bind_default_src(c,ch): ch.exchange_bind('amq.direct','','k')
@case
def exch_ae_cycle(c,ch):
    x=q();y=q(); ch.exchange_declare(x,'direct',arguments={'alternate-exchange':y}); ch.exchange_declare(y,'direct',arguments={'alternate-exchange':x}); ch.confirm_delivery(); ch.basic_publish(x,'z',b'',mandatory=True)
@case
def exch_headers_bad_xmatch(c,ch):
    n=q(); ch.queue_declare(n); ch.queue_bind(n,'amq.headers','',{'x-match':'some'})
def _routed(ch,typ,key,bargs,pubkey,headers):
    """fresh exchange and queue; returns number of copies that arrived"""
    x=q();n=q(); ch.exchange_declare(x,typ); ch.queue_declare(n,exclusive=True); ch.queue_bind(n,x,key,bargs); ch.confirm_delivery(); ch.basic_publish(x,pubkey,b'',BP(headers=headers)); r=ch.queue_declare(n,passive=True).method.message_count; ch.exchange_delete(x); return r
def H(name,bargs,headers):
    def f(c,ch): return _routed(ch,'headers','',bargs,'',headers)
    f.__name__='headers_'+name; case(f)
def TP(name,key,pub):
    def f(c,ch): return _routed(ch,'topic',key,{},pub,None)
    f.__name__='topic_'+name; case(f)
H('no_xmatch_subset',{'a':1},{'a':1,'b':2}); H('no_xmatch_missing',{'a':1,'b':2},{'a':1})
H('empty_args_default',{},{'a':1}); H('empty_args_all',{'x-match':'all'},{'a':1}); H('empty_args_any',{'x-match':'any'},{'a':1}); H('empty_args_any_no_headers',{'x-match':'any'},None)
H('any_one',{'x-match':'any','a':1,'b':2},{'b':2}); H('any_none',{'x-match':'any','a':1},{'a':2})
H('x_prefix_ignored_in_all',{'x-match':'all','x-foo':1,'a':1},{'a':1}); H('x_only_all',{'x-match':'all','x-foo':1},{'a':1}); H('x_only_any',{'x-match':'any','x-foo':1},{'x-foo':1})
H('void_is_presence',{'x-match':'all','a':None},{'a':77}); H('void_absent',{'x-match':'all','a':None},{'b':77})
H('all_with_x_mismatch',{'x-match':'all-with-x','x-foo':1},{'x-foo':2}); H('all_with_x_match',{'x-match':'all-with-x','x-foo':1},{'x-foo':1}); H('any_with_x_match',{'x-match':'any-with-x','x-foo':1,'b':1},{'x-foo':1})
H('type_sensitive_str_vs_int',{'a':'1'},{'a':1}); H('int_width',{'a':1},{'a':pika.compat.long(1)}); H('bool_vs_int',{'a':True},{'a':1}); H('publish_no_headers',{'a':1},None)
TP('hash_matches_empty','#',''); TP('star_matches_empty','*',''); TP('star_matches_empty_word','p.*','p.'); TP('star_not_two','p.*','p.a.b'); TP('star_not_zero','p.*','p'); TP('a_hash_b_zero','p.#.b','p.b'); TP('a_hash_b_two','p.#.b','p.x.y.b'); TP('trailing_hash_zero','p.#','p'); TP('hash_hash','#.#','a'); TP('star_hash_zero','*.#','a'); TP('star_hash_empty','*.#',''); TP('partial_star','p.a*','p.ab'); TP('leading_dot','*.a','.a'); TP('double_dot','a.*.b','a..b'); TP('empty_key_binding','','')
@case
def topic_double_match_one_copy(c,ch):
    n=q(); p=q().replace('.','_'); ch.queue_declare(n,exclusive=True); ch.queue_bind(n,'amq.topic',p+'.#'); ch.queue_bind(n,'amq.topic',p+'.*'); ch.confirm_delivery(); ch.basic_publish('amq.topic',p+'.z',b''); return ch.queue_declare(n,passive=True).method.message_count
@case
def pub_missing_exchange(c,ch):
    ch.basic_publish('nonexist.x','k',b'x'); c.process_data_events(0.3); ch.queue_declare('')
@case
def pub_unroutable_mandatory(c,ch):
    ch.confirm_delivery(); ch.basic_publish('','nonexist.q',b'x',mandatory=True)
@case
def pub_unroutable_confirm(c,ch):
    ch.confirm_delivery(); ch.basic_publish('','nonexist.q',b'x')
@case
def pub_expiration_bad(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x',BP(expiration='abc'))
@case
def pub_expiration_negative(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x',BP(expiration='-1'))
@case
def pub_expiration_zero_no_consumer(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x',BP(expiration='0')); time.sleep(.05); return ch.queue_declare(n,passive=True).method.message_count
@case
def pub_userid_wrong(c,ch):
    n=q(); ch.queue_declare(n); ch.confirm_delivery(); ch.basic_publish('',n,b'x',BP(user_id='bob'))
@case
def pub_cc(c,ch):
    a=q();b=q();d=q(); [ch.queue_declare(z) for z in(a,b,d)]; ch.confirm_delivery(); ch.basic_publish('',a,b'x',BP(headers={'CC':[b],'BCC':[d]})); m=ch.basic_get(d,True); return (ch.queue_declare(b,passive=True).method.message_count, m[1].headers)
@case
def pub_cc_bad_type(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'x',BP(headers={'CC':'notalist'}))
@case
def pub_cc_dup_same_queue(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'x',BP(headers={'CC':[a]})); return ch.queue_declare(a,passive=True).method.message_count
@case
def pub_nonint_priority(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-max-priority':5}); ch.confirm_delivery()
    for p in (1,9,0,None,5): ch.basic_publish('',a,str(p).encode(),BP(priority=p))
    return [ch.basic_get(a,True)[2] for _ in range(5)]
@case
def get_empty(c,ch):
    a=q(); ch.queue_declare(a); return ch.basic_get(a)
@case
def get_missing(c,ch): ch.basic_get(q())
@case
def get_fields(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'x') for _ in range(3)]; return ch.basic_get(a)[0]
@case
def ack_unknown_tag(c,ch): ch.basic_ack(99); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_double(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'x'); t=ch.basic_get(a)[0].delivery_tag; ch.basic_ack(t); ch.basic_ack(t); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_multiple_zero_none(c,ch): ch.basic_ack(0,multiple=True); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_zero_single(c,ch): ch.basic_ack(0,multiple=False); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_multiple_unknown(c,ch): ch.basic_ack(7,multiple=True); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_other_channel(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'x'); t=ch.basic_get(a)[0].delivery_tag; h=c.channel(); h.basic_ack(t); c.process_data_events(0.3); r=h._impl._closing_reason; return (r.reply_code,r.reply_text) if r else 'accepted'
@case
def reject_unknown(c,ch): ch.basic_reject(5); c.process_data_events(0.3); ch.queue_declare('')
@case
def nack_unknown(c,ch): ch.basic_nack(5); c.process_data_events(0.3); ch.queue_declare('')
@case
def ack_autoack_tag(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'x'); t=ch.basic_get(a,True)[0].delivery_tag; ch.basic_ack(t); c.process_data_events(0.3); ch.queue_declare('')
@case
def requeue_order(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(5)]
    t=[ch.basic_get(a)[0].delivery_tag for _ in range(3)]; ch.basic_nack(t[1],requeue=True); ch.basic_nack(t[0],requeue=True); ch.basic_nack(t[2],requeue=True); time.sleep(.1)
    return [(m[2],m[0].redelivered) for m in (ch.basic_get(a,True) for _ in range(5))]
@case
def requeue_order_quorum(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'quorum'}); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(5)]
    t=[ch.basic_get(a)[0].delivery_tag for _ in range(3)]; ch.basic_nack(t[1],requeue=True); ch.basic_nack(t[0],requeue=True); ch.basic_nack(t[2],requeue=True); time.sleep(.2)
    r=[(m[2],m[0].redelivered,(m[1].headers or {}).get('x-delivery-count')) for m in (ch.basic_get(a,True) for _ in range(5))]; ch.queue_delete(a); return r
@case
def channel_close_requeues_redelivered(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(3)]; h=c.channel(); [h.basic_get(a) for _ in range(2)]; h.close(); time.sleep(.1)
    return [(m[2],m[0].redelivered) for m in (ch.basic_get(a,True) for _ in range(3))]
@case
def recover_requeue_false(c,ch): ch.basic_recover(requeue=False)
@case
def recover_requeue_true(c,ch): return ch.basic_recover(requeue=True)
@case
def qos_prefetch_size(c,ch): ch.basic_qos(prefetch_size=100)
@case
def qos_global_semantics(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(20)]
    got={'x':0,'y':0}
    def cb(k):
        def f(*_): got[k]+=1
        return f
    ch.basic_qos(prefetch_count=3,global_qos=False); ch.basic_consume(a,cb('x')); ch.basic_qos(prefetch_count=5,global_qos=False); ch.basic_consume(a,cb('y')); c.process_data_events(0.5); return dict(got)
@case
def qos_channel_limit(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(20)]
    got={'x':0,'y':0}
    def cb(k):
        def f(*_): got[k]+=1
        return f
    ch.basic_qos(prefetch_count=4,global_qos=True); ch.basic_consume(a,cb('x')); ch.basic_consume(a,cb('y')); c.process_data_events(0.5); return sum(got.values())
@case
def qos_both_limits(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(20)]
    got={'x':0,'y':0}
    def cb(k):
        def f(*_): got[k]+=1
        return f
    ch.basic_qos(prefetch_count=10,global_qos=False); ch.basic_consume(a,cb('x')); ch.basic_consume(a,cb('y')); ch.basic_qos(prefetch_count=15,global_qos=True); c.process_data_events(0.5); return sum(got.values())
@case
def qos_global_quorum(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'quorum'}); ch.basic_qos(prefetch_count=4,global_qos=True); ch.basic_consume(a,lambda *_:0)
@case
def consume_missing(c,ch): ch.basic_consume(q(),lambda *_:0)
@case
def consume_dup_tag(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_consume(a,lambda *_:0,consumer_tag='t'); ch._impl._consumers.clear() if hasattr(ch._impl,'_consumers') else 0
    from pika import spec
    ch._impl._send_method(spec.Basic.Consume(queue=a,consumer_tag='t')); c.process_data_events(0.3); ch.queue_declare('')
@case
def consume_exclusive_conflict(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_consume(a,lambda *_:0,exclusive=True); h=c.channel(); h.basic_consume(a,lambda *_:0)
@case
def consume_exclusive_when_others(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_consume(a,lambda *_:0); h=c.channel(); h.basic_consume(a,lambda *_:0,exclusive=True)
@case
def consume_generated_tag(c,ch):
    a=q(); ch.queue_declare(a); from pika import spec
    r=[]
    ch._impl._rpc(spec.Basic.Consume(queue=a,consumer_tag=''),lambda f:r.append(f.method.consumer_tag),[spec.Basic.ConsumeOk]); c.process_data_events(0.3); return r
@case
def cancel_unknown(c,ch):
    from pika import spec
    r=[]
    ch._impl._rpc(spec.Basic.Cancel(consumer_tag='zzz'),lambda f:r.append(str(f.method)),[spec.Basic.CancelOk]); c.process_data_events(0.3); return r
@case
def consume_sac_exclusive(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-single-active-consumer':True}); ch.basic_consume(a,lambda *_:0,exclusive=True)
@case
def get_sac(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-single-active-consumer':True}); ch.basic_get(a)
@case
def get_sac_quorum(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'quorum','x-single-active-consumer':True}); ch.basic_get(a)
@case
def get_stream(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.basic_get(a)
@case
def consume_stream_noack(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.basic_qos(prefetch_count=5); ch.basic_consume(a,lambda *_:0,auto_ack=True)
@case
def consume_stream_noqos(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.basic_consume(a,lambda *_:0)
@case
def consume_stream_exclusive(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.basic_qos(prefetch_count=5); ch.basic_consume(a,lambda *_:0,exclusive=True)
@case
def consume_stream_offset_bad(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.basic_qos(prefetch_count=5); ch.basic_consume(a,lambda *_:0,arguments={'x-stream-offset':'bogus'})
@case
def consume_stream_headers(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.confirm_delivery(); [ch.basic_publish('',a,b'%d'%i) for i in range(3)]; ch.basic_qos(prefetch_count=5); r=[]
    ch.basic_consume(a,lambda c_,m,p,b:r.append((b,p.headers)),arguments={'x-stream-offset':'first'}); c.process_data_events(1); return r
@case
def purge_stream(c,ch):
    a=q(); ch.queue_declare(a,durable=True,arguments={'x-queue-type':'stream'}); ch.queue_purge(a)
@case
def consumer_priority_bad(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_consume(a,lambda *_:0,arguments={'x-priority':'hi'})
@case
def tx_after_confirm(c,ch): ch.confirm_delivery(); ch.tx_select()
@case
def confirm_after_tx(c,ch): ch.tx_select(); ch.confirm_delivery()
@case
def tx_commit_no_select(c,ch): ch.tx_commit()
@case
def tx_rollback_no_select(c,ch): ch.tx_rollback()
@case
def tx_visibility(c,ch):
    a=q(); ch.queue_declare(a); ch.tx_select(); ch.basic_publish('',a,b'x'); b4=ch.queue_declare(a,passive=True).method.message_count; ch.tx_commit(); return b4, ch.queue_declare(a,passive=True).method.message_count
@case
def tx_rollback_ack_not_requeued(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_publish('',a,b'x'); time.sleep(.1); ch.tx_select(); t=ch.basic_get(a)[0].delivery_tag; ch.basic_ack(t); ch.tx_rollback(); r=ch.queue_declare(a,passive=True).method.message_count; ch.basic_ack(t); ch.tx_commit(); return r
@case
def flow_inactive(c,ch): ch.flow(False)
@case
def flow_active(c,ch): return ch.flow(True)
@case
def immediate(c,ch):
    from pika import spec
    ch._impl._send_method(spec.Basic.Publish(exchange='',routing_key='x',immediate=True),(BP(),b'x')); c.process_data_events(0.4); ch.queue_declare('')
@case
def drt_no_consumer(c,ch):
    a=q(); ch.queue_declare(a); ch.basic_publish('',a,b'x',BP(reply_to='amq.rabbitmq.reply-to')); c.process_data_events(0.3); ch.queue_declare('')
@case
def drt_consume_acks(c,ch): ch.basic_consume('amq.rabbitmq.reply-to',lambda *_:0,auto_ack=False)
@case
def drt_declare(c,ch): return ch.queue_declare('amq.rabbitmq.reply-to',passive=True).method
@case
def drt_roundtrip(c,ch):
    a=q(); ch.queue_declare(a); r=[]; ch.basic_consume('amq.rabbitmq.reply-to',lambda c_,m,p,b:r.append((m.exchange,m.routing_key[:25],b)),auto_ack=True); ch.basic_publish('',a,b'x',BP(reply_to='amq.rabbitmq.reply-to')); time.sleep(.1); m=ch.basic_get(a,True); rt=m[1].reply_to; ch.basic_publish('',rt,b'pong'); c.process_data_events(0.4); return rt[:30],r
@case
def drt_second_consumer(c,ch):
    ch.basic_consume('amq.rabbitmq.reply-to',lambda *_:0,auto_ack=True); ch.basic_consume('amq.rabbitmq.reply-to',lambda *_:0,auto_ack=True)
@case
def dlx_xdeath_ttl(c,ch):
    d=q();a=q(); ch.queue_declare(d); ch.queue_declare(a,arguments={'x-message-ttl':50,'x-dead-letter-exchange':'','x-dead-letter-routing-key':d}); ch.confirm_delivery(); ch.basic_publish('',a,b'x',BP(expiration='40',headers={'h':1})); time.sleep(.4); m=ch.basic_get(d,True); return m[1].expiration,m[1].headers
@case
def dlx_xdeath_reject(c,ch):
    d=q();a=q(); ch.queue_declare(d); ch.queue_declare(a,arguments={'x-dead-letter-exchange':'','x-dead-letter-routing-key':d}); ch.confirm_delivery(); ch.basic_publish('',a,b'x'); m=ch.basic_get(a); ch.basic_reject(m[0].delivery_tag,requeue=False); time.sleep(.2); m=ch.basic_get(d,True); return m[1].headers
@case
def dlx_xdeath_maxlen(c,ch):
    d=q();a=q(); ch.queue_declare(d); ch.queue_declare(a,arguments={'x-max-length':1,'x-dead-letter-exchange':'','x-dead-letter-routing-key':d}); ch.confirm_delivery(); ch.basic_publish('',a,b'1');ch.basic_publish('',a,b'2'); time.sleep(.2); m=ch.basic_get(d,True); return m[2],m[1].headers
@case
def dlx_cycle_ttl_drop(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-message-ttl':50,'x-dead-letter-exchange':'','x-dead-letter-routing-key':a}); ch.confirm_delivery(); ch.basic_publish('',a,b'x'); time.sleep(.5); return ch.queue_declare(a,passive=True).method.message_count
@case
def dlx_cycle_reject_kept(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-dead-letter-exchange':'','x-dead-letter-routing-key':a}); ch.confirm_delivery(); ch.basic_publish('',a,b'x')
    for _ in range(3):
        m=ch.basic_get(a); ch.basic_reject(m[0].delivery_tag,requeue=False); time.sleep(.1)
    m=ch.basic_get(a,True); return m[1].headers if m[0] else None
@case
def maxlen_reject_publish(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-max-length':1,'x-overflow':'reject-publish'}); ch.confirm_delivery(); ch.basic_publish('',a,b'1'); ch.basic_publish('',a,b'2')
@case
def maxlen_counts_only_ready(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-max-length':2}); ch.confirm_delivery(); ch.basic_publish('',a,b'1'); ch.basic_publish('',a,b'2'); ch.basic_get(a); ch.basic_publish('',a,b'3'); ch.basic_publish('',a,b'4'); return ch.queue_declare(a,passive=True).method.message_count
@case
def ttl_head_only(c,ch):
    a=q(); ch.queue_declare(a); ch.confirm_delivery(); ch.basic_publish('',a,b'1',BP(expiration='60000')); ch.basic_publish('',a,b'2',BP(expiration='10')); time.sleep(.3); return ch.queue_declare(a,passive=True).method.message_count
@case
def ttl_requeue_keeps_original_expiry(c,ch):
    a=q(); ch.queue_declare(a,arguments={'x-message-ttl':300}); ch.confirm_delivery(); ch.basic_publish('',a,b'1'); m=ch.basic_get(a); time.sleep(.5); ch.basic_nack(m[0].delivery_tag,requeue=True); time.sleep(.2); return ch.queue_declare(a,passive=True).method.message_count
@case
def autodelete_queue_no_consumer_stays(c,ch):
    a=q(); ch.queue_declare(a,auto_delete=True); time.sleep(.2); ch.queue_declare(a,passive=True); t=ch.basic_consume(a,lambda *_:0); ch.basic_cancel(t); time.sleep(.2); ch.queue_declare(a,passive=True)
@case
def consumer_cancel_notify(c,ch):
    a=q(); ch.queue_declare(a); r=[]; ch.add_on_cancel_callback(lambda f:r.append(str(f))); ch.basic_consume(a,lambda *_:0); h=c.channel(); h.queue_delete(a); c.process_data_events(0.4); return r
@case
def vhost_missing(c,ch): conn(vhost='nope')
@case
def auth_bad(c,ch): conn(cred=pika.PlainCredentials('guest','wrong'))
@case
def auth_bad_no_capability(c,ch):
    conn(cred=pika.PlainCredentials('guest','wrong'),client_properties={'capabilities':{'authentication_failure_close':False}})
@case
def server_props(c,ch): return json.dumps(c._impl.server_properties,default=str,sort_keys=True)
@case
def tune(c,ch): return (c._impl.params.channel_max,c._impl.params.frame_max,c._impl.params.heartbeat)
@case
def access_refused_xread(c,ch): return 'n/a'
if __name__=='__main__': run()
